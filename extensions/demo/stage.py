# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the demo plays: the lab, a private place, and the public commands as a user types them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import yaml

from extensions.demo.traffic import Traffic
from extensions.lab.lab import Lab

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PLACE = CHECKOUT / ".cache" / "demo"
POLICY = HERE / "policy"
SPEC = HERE / "lab.yml"
#: A playbook that takes longer than this hangs.
PATIENCE = 150.0
ANSIBLE_CONFIGURATION = """\
[defaults]
forks = 13
timeout = 8
retry_files_enabled = false
host_key_checking = false
remote_tmp = /run/microseg-demo
fact_caching = jsonfile
fact_caching_connection = {facts}
nocows = true
[inventory]
enable_plugins = yaml
"""


@dataclass(frozen=True)
class Run:
    """A command that has ended. `log` holds what it printed."""

    command: str
    code: int
    output: str
    seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Host -> counters, from the end of a playbook."""
        result: dict[str, dict[str, int]] = {}
        for line in self.output.partition("PLAY RECAP")[2].splitlines()[1:]:
            name, colon, counters = line.partition(" : ")
            if colon:
                result[name.strip()] = {
                    key: int(value) for key, _, value in (word.partition("=") for word in counters.split())
                }
        return result

    def changed(self) -> int:
        return sum(counters["changed"] for counters in self.recap.values())

    def tail(self) -> str:
        """What went wrong, where the output says so; else its end."""
        lines = self.output.rstrip().splitlines()
        wrong = [line.strip() for line in lines if line.startswith(("[ERROR]", "fatal:", "microseg:", "E-"))]
        return " / ".join(wrong[:3] or lines[-3:])


class Stage:
    """A context: the lab is up inside it and gone after it. Reports, store and logs stay."""

    def __init__(self, place: pathlib.Path = PLACE, rootless: bool | None = None) -> None:
        self.place = place
        self.spec: Mapping[str, Any] = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
        self.rootless = rootless
        self.lab: Lab | None = None
        self.store = self.place / ".microseg"
        self.reports = self.store / "reports"
        self.logs = self.place / "logs"
        #: What later steps take from earlier ones: the digest of the plan, and the conversations that run.
        self.plan = ""
        self.traffic: Traffic | None = None
        self._running: set[subprocess.Popen[str]] = set()

    # -- life -----------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """An empty place with what a user has: inventory, policy, ansible.cfg. An interrupted demo is ended first."""
        clear(self.place)
        for directory in (self.logs, self.place / "facts", self.place / "ansible"):
            directory.mkdir(parents=True)
        (self.place / "inventory.yml").symlink_to("lab/inventory.yml")
        (self.place / "policy").symlink_to(POLICY)
        (self.place / "ansible.cfg").write_text(
            ANSIBLE_CONFIGURATION.format(facts=self.place / "facts"), encoding="utf-8"
        )

    def __enter__(self) -> Self:
        self.lab = Lab(self.spec, self.place / "lab", rootless=self.rootless).up()
        return self

    def __exit__(self, *_: object) -> None:
        for child in list(self._running):
            self.kill(child)
        if self.lab is not None:
            self.lab.down()
            self.lab = None
        self.tidy()

    def tidy(self) -> None:
        """Leave only what somebody may want to read: store, reports and logs."""
        for name in (
            "facts",
            "ansible",
            "ansible.cfg",
            "inventory.yml",
            "policy",
            "lab",
            "live.json",
            "locked-out",
            "without-orders",
        ):
            remove(self.place / name)

    # -- commands -------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        env["PATH"] = f"{CHECKOUT / '.venv' / 'bin'}:{env.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
        return env | {
            "ANSIBLE_CONFIG": str(self.place / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.place / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }

    def playbook(self, name: str, **variables: Any) -> Run:
        """One of the public playbooks, to its end. `limit` and `check` are options, the rest are variables."""
        return self.finish(self.start(playbook_words(name, **variables)), name)

    def microseg(self, *words: str) -> Run:
        """The command line. Verbs that read the inventory get that of the demo; the policy is where they expect it."""
        sources = ["-i", "inventory.yml"] if words[0] in ("check", "explain", "reach") else []
        return self.finish(self.start(["microseg", *words, *sources]), words[0])

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        """In a process group of its own, so that all of it can be ended."""
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.environment(), cwd=self.place, start_new_session=True,
        )  # fmt: skip
        self._running.add(child)
        return child

    def finish(self, child: subprocess.Popen[str], name: str) -> Run:
        began = time.monotonic()
        try:
            output, _ = child.communicate(timeout=PATIENCE)
        except BaseException:
            self.kill(child)
            raise
        self._running.discard(child)
        run = Run(shlex.join(map(str, child.args)), child.returncode, output, time.monotonic() - began)  # type: ignore[arg-type]
        number = len(list(self.logs.iterdir())) + 1
        (self.logs / f"{number:02d}-{name}.log").write_text(f"$ {run.command}\n{output}", encoding="utf-8")
        return run

    def kill(self, child: subprocess.Popen[str]) -> None:
        """End a command and everything it started, at once: a controller that dies."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        self._running.discard(child)

    # -- what there is to see -------------------------------------------------------------------------------------

    @property
    def managed(self) -> list[str]:
        assert self.lab is not None
        return [host.name for host in self.lab.hosts.values() if not host.unmanaged]

    def report(self, name: str) -> dict[str, Any]:
        """A report file, {} where it was not written."""
        path = self.reports / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def reach(self) -> str:
        return self.microseg("reach", "--with-failsafe", "--format", "json").output

    def plan_document(self, digest: str = "latest") -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.microseg("plan", digest, "--format", "json").output)
        return result

    def ruleset(self, name: str) -> str:
        """All rules of a host, without counters, which change by themselves."""
        assert self.lab is not None
        return self.lab.run(name, ["nft", "-s", "list", "ruleset"]).stdout

    def logins(self, name: str) -> int:
        log = self.place / "lab" / "log" / f"{name}.sshd"
        return log.read_text(encoding="utf-8").count("Accepted publickey") if log.exists() else 0

    def journal(self, plan: str) -> list[tuple[str, str, str, list[str]]]:
        """(time, step, outcome, hosts) of every wave, in order."""
        waves: list[tuple[str, str, str, list[str]]] = []
        for line in (self.store / "journal.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["plan"] != plan:
                continue
            key = (entry["time"][11:19], entry["step"], entry["outcome"])
            if waves and waves[-1][:3] == key:
                waves[-1][3].append(entry["point"])
            else:
                waves.append((*key, [entry["point"]]))
        return waves


def playbook_words(name: str, limit: str = "", check: bool = False, **variables: Any) -> list[str]:
    """Store `.microseg` and policy `policy` are the defaults of the playbooks."""
    words = ["ansible-playbook", "-i", "inventory.yml", f"bulkhead.microseg.{name}"]
    words += ["--limit", limit] if limit else []
    words += ["--check"] if check else []
    return [*words, *(word for key, value in variables.items() for word in ("-e", f"{key}={value}"))]


def remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def clear(place: pathlib.Path) -> None:
    """End the lab that an interrupted demo left behind, and empty its place."""
    if (place / "lab" / "lab.json").exists():
        print("demo: ending the lab of an interrupted demo", file=sys.stderr)
        Lab.attach(place / "lab").down()
    remove(place)
    place.mkdir(parents=True)
