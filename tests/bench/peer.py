# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""aerleon beside us, on one neutral policy. Nothing is compared before both rule sets are shown to mean the same."""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.driver import Nftables
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import FAILSAFE, Artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import Intervals, normalised
from tests.support.nft import transaction

from .engine import compiled_bundle
from .machine import ROOT
from .measuring import CouldNotRun, Figure, Figures, LeftOut, cost, measurement
from .neutral import DEVICE, SERVICES, Neutral, allows, as_estate, as_list, neutral

PEERS = ROOT / ".cache" / "peers"
VERSION = "1.18.0"
TERMS = 1_000
PACKETS = 400
FRAMES = 4_000
#: Local addresses of the list whose meaning is compared whole; all of them would take minutes and prove no more.
LOCAL = 5
AT = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)


@measurement("aerleon", pure=False)
def _aerleon(_quick: bool) -> Figures:
    """One neutral policy in both tools: generation, load and packets, after both were shown to mean the same."""
    python = installed()
    policy = neutral(TERMS)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        peer = _generate(python, policy, directory)
        of_list, one_list = cost(lambda: _rendered(compiled_bundle(*as_list(policy)).artifact("all")))
        of_estate, bundle = cost(lambda: compiled_bundle(*as_estate(policy)))
        of_slice, slice_text = cost(lambda: _rendered(bundle.artifact(DEVICE)))
        (directory / "list.nft").write_text(one_list, encoding="utf-8")
        (directory / "slice.nft").write_text(slice_text, encoding="utf-8")
        said = f"aerleon {peer['version']}"
        yield Figure(
            "aerleon-generate", peer["cpu"], "s", None, f"{TERMS:,} terms as one nftables list; {peer['peak']:.0f} MB"
        )
        yield Figure(
            "generate-list",
            of_list.cpu,
            "s",
            None,
            f"the same list from us; {of_list.peak:.0f} MB, the measuring process included",
            f"{said} needs {peer['cpu'] / of_list.cpu:.2f} times as much",
        )
        of_both = of_estate.cpu + of_slice.cpu
        yield Figure(
            "generate-estate",
            of_both,
            "s",
            None,
            f"our own shape: {len(bundle.points):,} hosts compiled, one rendered ({1000 * of_slice.cpu:.0f} ms)",
            f"{said}, for one list, needs {peer['cpu'] / of_both:.2f} times as much",
        )
        found = _in_kernel(policy, directory)
        proof = _proven(policy, found)
        theirs, words = found["aerleon"], {"list": "the whole list", "slice": f"the slice of {DEVICE} alone"}
        yield Figure("aerleon-load", theirs["load"], "s", None, f"the whole list; {proof}")
        for ours, what in words.items():
            ratio = f"{said} needs {theirs['load'] / found[ours]['load']:.1f} times as much"
            yield Figure(f"load-{ours}", found[ours]["load"], "s", None, what, ratio)
        hook = f"over an empty hook of {found['bare']['packet']:,.0f} ns; connections to {DEVICE}"
        yield Figure("aerleon-packet", theirs["packet"], "ns", None, f"the whole list, {hook}")
        for ours, what in words.items():
            ratio = f"{said} needs {theirs['packet'] / found[ours]['packet']:.1f} times as much"
            yield Figure(f"packet-{ours}", found[ours]["packet"], "ns", None, f"{what}, counters included", ratio)


def installed() -> Path:
    """The interpreter of an environment with aerleon in it; made when it is not there yet."""
    home = PEERS / f"aerleon-{VERSION}"
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python
    home.parent.mkdir(parents=True, exist_ok=True)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"aerleon=={VERSION}"],
    )
    for step in steps:
        run = subprocess.run(step, capture_output=True, text=True, check=False)
        if run.returncode:
            said = (run.stderr or run.stdout).strip().splitlines()
            raise LeftOut(f"aerleon {VERSION} cannot be installed: {said[-1] if said else run.returncode}")
    (home / "complete").touch()
    return python


def _generate(python: Path, policy: Neutral, directory: Path) -> dict[str, Any]:
    source = directory / "neutral.json"
    source.write_text(json.dumps(policy), encoding="utf-8")
    script = Path(__file__).with_name("peer_aerleon.py")
    run = subprocess.run(
        [str(python), "-I", str(script), str(source), str(directory / "aerleon.nft")],
        capture_output=True,
        text=True,
        cwd=directory,
        check=False,
    )
    if run.returncode:
        raise LeftOut(f"aerleon ended with {run.returncode}: {run.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(run.stdout))


def _rendered(artifact: Artifact) -> str:
    """Without the failsafe, which the peer does not have."""
    rules = tuple(rule for rule in artifact.ingress.rules if rule.tier != FAILSAFE)
    bare = replace(artifact, ingress=replace(artifact.ingress, rules=rules))
    return transaction(Nftables.render(bare, bare.policy_digest(), AT).payload)


def _in_kernel(policy: Neutral, directory: Path) -> dict[str, Any]:
    chooser = random.Random(17)
    rulesets = {name: str(directory / f"{name}.nft") for name in ("aerleon", "list", "slice")}
    request = {
        "rulesets": rulesets,
        "packets": _sample(policy, chooser),
        "frames": list(_allowed(policy, chooser)),
        "costs": list(rulesets),
    }
    path = directory / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "tests.bench.peer_nft", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if run.returncode:
        raise CouldNotRun((run.stderr.strip() or "no answer").splitlines()[-1])
    return dict(json.loads(run.stdout))


def _terms_about_device(policy: Neutral) -> list[dict[str, Any]]:
    return [term for term in policy["terms"] if "DEVICE" in term["destinations"]]


def _sample(policy: Neutral, chooser: random.Random) -> list[tuple[str, str, int]]:
    """Packets to the device: half from peers of its terms to their ports, half from anybody to any service."""
    terms, groups = _terms_about_device(policy), policy["groups"]
    found: set[tuple[str, str, int]] = set()
    while len(found) < PACKETS:
        term = chooser.choice(terms)
        sources = term["sources"] if chooser.random() < 0.5 else [name for name in groups if name != "DEVICE"]
        source = chooser.choice(groups[chooser.choice(sources)])
        service = chooser.choice(term["services"] if chooser.random() < 0.8 else list(SERVICES))
        protocol, low, high = SERVICES[service]
        found.add((source, protocol, chooser.randint(low, high)))
    return sorted(found)


def _allowed(policy: Neutral, chooser: random.Random) -> Iterable[tuple[str, str, int]]:
    """Connections that open, spread over the terms about the device."""
    accepting = [term for term in _terms_about_device(policy) if term["action"] == "accept"]
    kinds = []
    for term in accepting:
        for name in term["sources"]:
            for service in term["services"]:
                protocol, low, high = SERVICES[service]
                source, port = chooser.choice(policy["groups"][name]), chooser.randint(low, high)
                if allows(policy, source, DEVICE, protocol, port):
                    kinds.append((source, protocol, port))
    for _ in range(FRAMES):
        yield chooser.choice(kinds)


def _proven(policy: Neutral, found: dict[str, Any]) -> str:
    """Raises AssertionError where two rule sets differ: by our reader on listings, and by packets."""
    packets = _sample(policy, random.Random(17))
    wanted = [allows(policy, source, DEVICE, protocol, port) for source, protocol, port in packets]
    for name in ("aerleon", "list", "slice"):
        if found[name]["passed"] != wanted:
            wrong = [
                packet for packet, ok, got in zip(packets, wanted, found[name]["passed"], strict=True) if ok != got
            ]
            raise AssertionError(f"{name} decides {len(wrong)} of {len(packets)} packets otherwise, first {wrong[0]}")
    local = sorted(
        {text for term in policy["terms"] for group in term["destinations"] for text in policy["groups"][group]}
    )
    chosen = [DEVICE, *random.Random(19).sample(local, LOCAL - 1)]
    for ours, addresses in (("list", chosen), ("slice", [DEVICE])):
        forms = [_form(found[name]["listing"], addresses) for name in ("aerleon", ours)]
        result = difference(*forms)
        if result.state != "equal":
            raise AssertionError(
                f"{ours} is {result.state} against aerleon's: {(result.wider + result.narrower + result.unknown)[:1]}"
            )
    return f"equal by meaning at {LOCAL} local addresses, and on {len(packets)} real packets ({sum(wanted)} pass)"


def _form(listing: str, addresses: Iterable[str]) -> Any:
    numbers = [parse_address(text).number for text in addresses]
    own: dict[Any, Intervals] = {4: normalised((number, number) for number in numbers), 6: ()}
    everything = json.loads(Path(listing).read_text(encoding="utf-8"))
    ours = any(item.get("table", {}).get("name") == "microseg" for item in everything["nftables"])
    reading = Nftables.read(everything if ours else None, None if ours else everything, own, AT)
    return reading.own_form if ours else reading.form
