# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab itself: what it says about packets must be true, and nothing of it may stay."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

from extensions.lab.lab import CONTROLLER, Cell, Lab, LabError
from tests.lab.conftest import LabMaker

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "extensions/lab/lab.py"
SPEC = {
    "hosts": [
        {
            "name": "web-1",
            "ipv4": ["10.1.1.1", "10.1.9.1"],
            "ipv6": ["2001:db8:1::1"],
            "listeners": ["tcp/80", "udp/53"],
            "groups": ["web"],
        },
        {
            "name": "db-1",
            "ipv4": ["10.1.2.1"],
            "ipv6": ["2001:db8:2::1"],
            "listeners": ["tcp/5432", "tcp/8000-8003", "udp/53"],
        },
        {
            "name": "printer",
            "ipv4": ["198.51.100.7"],
            "ipv6": ["2001:db8:9::7"],
            "listeners": ["tcp/9100"],
            "unmanaged": True,
        },
    ]
}
FAMILIES = pytest.mark.parametrize("family", [4, 6])

pytestmark = [pytest.mark.kernel, pytest.mark.lab]


@pytest.fixture(scope="module", params=["root", "rootless"])
def lab(request: pytest.FixtureRequest, make_lab: LabMaker, lab_ability: str) -> Lab:
    if request.param == "root" and lab_ability != "root-namespaces":
        pytest.skip("needs root" if os.geteuid() else "needs root namespaces")
    return make_lab(SPEC, rootless=request.param == "rootless")


@pytest.fixture
def policy(lab: Lab) -> Iterator[Lab]:
    """The lab, with the rules that a test loads on db-1 removed afterwards."""
    yield lab
    lab.run("db-1", ["nft", "flush", "ruleset"])


def block(rule: str, hook: str = "input") -> str:
    return f"table inet t {{\n chain c {{ type filter hook {hook} priority 0; policy accept; {rule}; }}\n}}\n"


@FAMILIES
@pytest.mark.parametrize("service", ["tcp/5432", "tcp/8003", "udp/53"])
def test_listener_is_reached(lab: Lab, service: str, family: int) -> None:
    assert lab.connect("web-1", "db-1", service, family) == "allowed"


@pytest.mark.parametrize("service", ["icmp", "icmpv6"])
def test_echo_is_answered(lab: Lab, service: str) -> None:
    assert lab.connect("web-1", "db-1", service) == "allowed"


@FAMILIES
def test_closed_port_answers_with_reset_and_counts_as_allowed(lab: Lab, family: int) -> None:
    address = lab.address("db-1", family)
    assert lab.probe("web-1", [(address, "tcp/9")]) == ["closed"]
    assert lab.connect("web-1", "db-1", "tcp/9", family) == "allowed"


@FAMILIES
def test_closed_udp_port_counts_as_denied(lab: Lab, family: int) -> None:
    assert lab.connect("web-1", "db-1", "udp/9", family) == "denied"


def test_unmanaged_host_and_controller_take_part(lab: Lab) -> None:
    assert lab.connect("printer", "web-1", "tcp/80") == "allowed"
    assert lab.connect("web-1", "printer", "tcp/9100", 6) == "allowed"
    assert lab.connect(CONTROLLER, "db-1", "tcp/22") == "allowed"
    assert lab.probe(CONTROLLER, [(lab.address("db-1"), "tcp/22"), (lab.address("printer"), "tcp/22")]) == [
        "open",
        "closed",
    ]


def test_address_of_nobody_is_denied(lab: Lab) -> None:
    assert lab.connect("web-1", "10.1.77.77", "tcp/80") == "denied"


@FAMILIES
@pytest.mark.parametrize("service", ["tcp/5432", "tcp/9", "udp/53", "icmp"])
@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("drop", "timeout"),
        ("reject with icmpx admin-prohibited", "rejected"),
        ("reject with icmpx port-unreachable", "rejected"),
    ],
    ids=["drop", "admin-prohibited", "port-unreachable"],
)
def test_blocked_packet_is_denied(policy: Lab, rule: str, word: str, service: str, family: int) -> None:
    rule = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; " + rule
    service = "icmpv6" if service == "icmp" and family == 6 else service
    policy.nft("db-1", block(rule))
    assert policy.probe("web-1", [(policy.address("db-1", family), service)], timeout=0.3) == [word]
    assert policy.connect("web-1", "db-1", service, family, timeout=0.2) == "denied"


@FAMILIES
def test_reset_by_policy_looks_like_a_closed_port(policy: Lab, family: int) -> None:
    policy.nft("db-1", block("tcp dport 5432 reject with tcp reset"))
    assert policy.probe("web-1", [(policy.address("db-1", family), "tcp/5432")]) == ["closed"]


def test_own_output_policy_is_denied(policy: Lab) -> None:
    policy.nft("db-1", block("tcp dport 80 drop", hook="output"))
    assert policy.connect("db-1", "web-1", "tcp/80", timeout=0.2) == "denied"
    assert policy.connect("db-1", "web-1", "udp/53", timeout=0.2) == "allowed"


def test_source_address_can_be_chosen(policy: Lab) -> None:
    policy.nft("db-1", block("ip saddr 10.1.9.1 drop"))
    assert policy.connect("web-1", "db-1", "tcp/5432") == "allowed"
    assert policy.connect("web-1", "db-1", "tcp/5432", source="10.1.9.1", timeout=0.2) == "denied"
    assert policy.connect("web-1", "db-1", "icmp", source="10.1.9.1", timeout=0.2) == "denied"


def test_udp_echo_comes_from_the_address_that_was_asked(lab: Lab) -> None:
    assert lab.probe("db-1", [("10.1.9.1", "udp/53"), ("10.1.1.1", "udp/53")]) == ["open", "open"]


def test_matrix_of_many_cells_is_exact_and_quick(policy: Lab) -> None:
    policy.nft("db-1", block("ip saddr 10.1.1.1 tcp dport 8002 drop; ip6 saddr 2001:db8:1::1 tcp dport 8001 drop"))
    cells = [
        Cell(consumer, address, f"tcp/{port}")
        for consumer in ("web-1", "printer", CONTROLLER)
        for address in policy.hosts["db-1"].addresses()
        for port in range(7900, 8100)
    ]
    began = time.monotonic()
    result = policy.matrix(cells)
    assert time.monotonic() - began < 10
    denied = [cell for cell, word in result.items() if word == "denied"]
    assert denied == [Cell("web-1", "10.1.2.1", "tcp/8002"), Cell("web-1", "2001:db8:2::1", "tcp/8001")]
    assert len(result) == 1200


def test_session_outlives_a_policy_that_knows_it_and_not_one_that_does_not(policy: Lab) -> None:
    policy.nft("db-1", block("ct state established accept"))  # from now on the kernel tracks connections
    with policy.session("web-1", "db-1", "tcp/5432") as session:
        assert session.alive()
        policy.nft("db-1", "flush ruleset\n" + block("ct state established accept; tcp dport 5432 drop"))
        assert session.alive()
        assert policy.connect("web-1", "db-1", "tcp/5432", timeout=0.2) == "denied"
        policy.nft("db-1", "flush ruleset\n" + block("tcp dport 5432 drop"))
        assert not session.alive(timeout=0.5)


def test_listeners_come_and_go(lab: Lab) -> None:
    lab.listen("db-1", "tcp/7001", "udp/7001")
    assert lab.probe("web-1", [("10.1.2.1", "tcp/7001"), ("10.1.2.1", "udp/7001")]) == ["open", "open"]
    lab.close("db-1", "tcp/7001", "udp/7001")
    assert lab.probe("web-1", [("10.1.2.1", "tcp/7001")]) == ["closed"]


def test_hosts_have_their_own_name_state_and_machine_id(lab: Lab) -> None:
    places = ["/etc/microseg", "/var/lib/microseg", "/run/microseg"]
    script = "hostname; cat /etc/machine-id; for place; do mkdir -p $place; touch $place/x; done"
    first, second = (lab.run(name, ["sh", "-c", script, "sh", *places]).stdout.split() for name in ("web-1", "db-1"))
    assert first[0] == "web-1"
    assert second[0] == "db-1"
    assert first[1] != second[1]
    assert not pathlib.Path("/etc/microseg/x").exists()
    assert lab.run("printer", ["ls", *places], check=False).stdout == ""


def test_reboot_forgets_rules_and_processes_and_keeps_the_disk(lab: Lab) -> None:
    lab.nft("db-1", block("tcp dport 5432 drop"))
    traces = "echo kept > /var/lib/kept; echo lost > /run/lost; cat /etc/machine-id > /etc/seen"
    lab.run("db-1", ["sh", "-c", traces + "; (sleep 600 &) >/dev/null 2>&1"])
    before = lab.hosts["db-1"].pid
    lab.reboot("db-1")
    assert lab.hosts["db-1"].pid != before
    assert lab.connect("web-1", "db-1", "tcp/5432") == "allowed"
    assert lab.connect("web-1", "db-1", "tcp/5432", 6) == "allowed"
    assert lab.run("db-1", ["cat", "/var/lib/kept"]).stdout == "kept\n"
    assert lab.run("db-1", ["cat", "/etc/seen"]).stdout == lab.run("db-1", ["cat", "/etc/machine-id"]).stdout
    assert lab.run("db-1", ["cat", "/run/lost"], check=False).returncode == 1
    assert len(lab.members("db-1")) == (1 if lab.rootless else 2)


def test_ansible_works_on_the_managed_hosts(
    lab: Lab, ansible_environment: dict[str, str], tmp_path: pathlib.Path
) -> None:
    inventory = json.loads(lab.inventory.read_text())["all"]
    assert set(inventory["hosts"]) == {"web-1", "db-1"}
    assert inventory["children"] == {"web": {"hosts": {"web-1": {}}}}
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - command: sh -c 'hostname; echo $SSH_CONNECTION'
      register: who
    - assert: {that: "who.stdout_lines[0] == inventory_hostname"}
    - assert: {that: "who.stdout_lines[1] is match('10.254.0.1 [0-9]+ 10.1')"}
    - copy: {content: "of {{ inventory_hostname }}", dest: /etc/written}
    - slurp: {src: /etc/written}
      register: back
    - assert: {that: "back.content | b64decode == 'of ' ~ inventory_hostname"}
    - fetch: {src: /etc/written, dest: fetched/, flat: false}
    - meta: reset_connection
    - ping:
"""
    )
    run = subprocess.run(
        ["ansible-playbook", "-i", lab.inventory, playbook],
        env=ansible_environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "fetched/web-1/etc/written").read_text() == "of web-1"
    assert not pathlib.Path("/etc/written").exists()


def test_lock_out_makes_the_host_unreachable(policy: Lab, ansible_environment: dict[str, str]) -> None:
    policy.nft("db-1", block("tcp dport 22 drop"))
    env = ansible_environment | {"ANSIBLE_TIMEOUT": "2"}
    run = subprocess.run(
        ["ansible", "-i", policy.inventory, "all", "-m", "ping"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "db-1 | UNREACHABLE" in run.stdout + run.stderr
    assert "web-1 | SUCCESS" in run.stdout
    assert run.returncode == 4


def test_mistakes_are_named(lab: Lab, tmp_path: pathlib.Path) -> None:
    with pytest.raises(LabError, match="no host 'nobody'"):
        lab.connect("nobody", "db-1", "tcp/1")
    with pytest.raises(LabError, match="needs tcp/PORT"):
        lab.connect("web-1", "db-1", "tcp")
    with pytest.raises(LabError, match="already holds a lab"):
        Lab(SPEC, lab.directory).up()
    with pytest.raises(LabError, match="twice"):
        Lab({"hosts": [{"name": "a", "ipv4": ["10.0.0.1"]}, {"name": "b", "ipv4": ["10.0.0.1"]}]}, tmp_path)
    with pytest.raises(LabError, match="run directory"):
        Lab(SPEC, "/run/lab")
    with pytest.raises(LabError, match="no lab in"):
        Lab.attach(tmp_path)


# -- nothing stays ------------------------------------------------------------------------------------------------


TRACES = (".microseg-lab", "microseg", "disks", ".disk", "written", "kept")


def traces() -> set[str]:
    """What a lab could leave on the machine, by the names it uses: others may be at work here at the same time."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found = {line.split(":")[1].strip() for line in links.splitlines()}
    found = {f"link {name}" for name in found if name.startswith(("br0", "port", "eth0@"))}
    mounts = (line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
    found |= {
        f"mount {place}" for place in mounts if "microseg" in place or place in ("/run/.disk", "/etc", "/var/lib")
    }
    candidates = [pathlib.Path(place, name) for place in ("/run", "/etc", "/var/lib") for name in TRACES]
    found |= {f"file {path}" for path in candidates if path.exists()}
    return found


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("rootless", [False, True], ids=["root", "rootless"])
def test_down_leaves_nothing(lab_ability: str, run_directory: pathlib.Path, rootless: bool) -> None:
    if not rootless and lab_ability != "root-namespaces":
        pytest.skip("needs root")
    directory = run_directory / f"a b, c-{rootless}"
    before = traces()
    with Lab(SPEC, directory, rootless=rootless) as lab:
        control = pathlib.Path(lab.control_directory)
        # also what the product leaves running there: daemons of their own session
        lab.run("web-1", ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &"])
        if not rootless:
            lab.ssh("db-1", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
        pids = lab.members()
        assert len(pids) >= (5 if rootless else 8)
        # another process attaches, as the command line does
        Lab.attach(directory).down()
    assert not any(alive(pid) for pid in pids)
    assert not directory.exists()
    assert not control.exists()
    assert traces() - before == set()


def test_twelve_hosts_start_quickly(make_lab: LabMaker) -> None:
    spec = {
        "hosts": [
            {"name": f"h{n}", "ipv4": [f"10.2.0.{n}"], "ipv6": [f"2001:db8::{n:x}"], "listeners": ["tcp/80", "udp/53"]}
            for n in range(1, 13)
        ]
    }
    began = time.monotonic()
    lab = make_lab(spec)
    assert time.monotonic() - began < 15  # about half a second on an idle machine
    cells = [
        Cell(consumer, address, service)
        for consumer in lab.hosts
        for host in lab.hosts.values()
        if host.name != consumer
        for address in host.addresses()
        for service in ("tcp/80", "udp/53", "icmpv6" if ":" in address else "icmp")
    ]
    assert set(lab.matrix(cells).values()) == {"allowed"}


@pytest.mark.parametrize("moment", [0.05, 0.2, 1.5])
def test_killed_while_starting_leaves_nothing_after_down(
    lab_ability: str, run_directory: pathlib.Path, moment: float
) -> None:
    directory = run_directory / f"killed-{moment}"
    spec = run_directory / "spec.yml"
    spec.write_text(json.dumps(SPEC))
    child = subprocess.Popen(
        [sys.executable, PROGRAM, "up", spec, "--dir", directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    child.send_signal(signal.SIGKILL)
    child.wait()
    if not (directory / "lab.json").exists():
        return  # killed before anything was started
    lab = Lab.attach(directory)
    started = [int(path.read_text()) for path in (directory / "pids").iterdir() if path.read_text()]
    subprocess.run([sys.executable, PROGRAM, "down", "--dir", directory], check=True)
    assert lab.members() == []
    assert not any(alive(pid) for pid in started)
    assert not directory.exists()


def test_command_line(lab_ability: str, run_directory: pathlib.Path) -> None:
    directory = run_directory / "cli"
    spec = run_directory / "cli.yml"
    spec.write_text("hosts:\n  - {name: a, ipv4: [10.0.0.1], listeners: [tcp/80]}\n  - {name: b, ipv4: [10.0.0.2]}\n")

    def call(*words: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, PROGRAM, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    assert call("probe-ability").stdout.startswith(lab_ability)
    assert call("exec", "a", "--dir", directory, "--", "true").returncode == 2
    try:
        assert call("inventory", spec, run_directory / "cli-inventory.yml").returncode == 0
        written = json.loads((run_directory / "cli-inventory.yml").read_text())
        assert written["all"]["hosts"]["b"] == {"ansible_host": "10.0.0.2"}
        assert call("up", spec, "--dir", directory).returncode == 0
        assert call("exec", "--dir", directory, "b", "--", "hostname").stdout == "b\n"
        assert call("exec", "b", "--dir", directory, "--", "sh", "-c", "exit 3").returncode == 3
        assert call("connect", "--dir", directory, "b", "a", "tcp/80").stdout == "b -> a tcp/80 allowed\n"
        assert call("connect", "--dir", directory, "a", "b", "udp/80").returncode == 1
        assert "10.0.0.2" in call("status", "--dir", directory).stdout
    finally:
        down = call("down", "--dir", directory)
    assert down.returncode == 0
    assert not directory.exists()


USER_SCRIPT = """
import json, sys
from extensions.lab.lab import Lab, probe_ability
assert probe_ability()[0] == "user-namespaces", probe_ability()
with Lab(json.load(open("spec.json")), "run") as lab:
    assert lab.connect("web-1", "db-1", "tcp/5432") == "allowed"
    assert lab.connect("controller", "db-1", "tcp/22", 6) == "allowed"
    lab.nft("db-1", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
    lab.nft("db-1", "add rule inet t c tcp dport 5432 drop")
    assert lab.connect("web-1", "db-1", "tcp/5432", timeout=0.2) == "denied"
    assert lab.connect("web-1", "db-1", "icmp") == "allowed"
    lab.run("db-1", ["sh", "-c", "echo x > /etc/hosts; echo x > /etc/new; echo x > /var/lib/x"])
assert not lab.members()
print("done")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="optional: an ordinary user runs every other test here in just this way")
def test_ordinary_user_can_use_it() -> None:
    """From root: as a user who can read the lab and a Python, but nothing else of ours."""
    with tempfile.TemporaryDirectory(prefix="microseg-user-") as home:
        place = pathlib.Path(home)
        shutil.copytree(PROGRAM.parent, place / "extensions/lab", ignore=shutil.ignore_patterns("__pycache__"))
        (place / "spec.json").write_text(json.dumps(SPEC))
        (place / "script.py").write_text(USER_SCRIPT)
        for path in [place, *place.rglob("*")]:
            os.chown(path, 65534, 65534)
        # env, because setpriv itself would still start what only root may
        identity = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env"]
        python = next((p for p in (sys.executable, "/usr/bin/python3") if runs_311(identity, p)), None)
        if python is None:
            pytest.skip("no Python >= 3.11 that an ordinary user may run")
        run = subprocess.run(
            [*identity, python, "-B", "script.py"],
            capture_output=True, text=True, check=False, cwd=home, env={"PATH": "/usr/bin:/bin", "HOME": home},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert run.stdout == "done\n"


def runs_311(identity: list[str], python: str) -> bool:
    command = [*identity, python, "-c", "import sys, concurrent.futures; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
