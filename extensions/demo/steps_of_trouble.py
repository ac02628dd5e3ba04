# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps 6 and 7 of the demo: drift and repair, and two mishaps that do no harm."""

from __future__ import annotations

import json
import pathlib
import shlex
import shutil
import time
from collections.abc import Callable

from extensions.demo.screen import Screen
from extensions.demo.stage import POLICY, Stage, playbook_words
from extensions.demo.traffic import whole_matrix

LEGACY = """table inet legacy {
  chain in {
    type filter hook input priority 10;
    tcp dport 3000 counter drop
  }
}
"""
#: Seconds until an armed change is taken back; the shortest there is.
TIMEOUT = 30
CONVERSATION = ("crm-app", "shop-app", "tcp/8080")


def drift(screen: Screen, stage: Stage) -> None:
    screen.step("DRIFT  one host widened, one narrowed, one given a table of somebody else; repair")
    assert stage.lab is not None
    lab = stage.lab
    screen.say("by hand: shop-db lets shop-dev-app in, crm-app drops crm-web, mon-1 gets table inet legacy")
    lab.nft(
        "shop-db",
        f"insert rule inet microseg {_first_chain(stage, 'shop-db')} ip saddr 10.20.1.2 tcp dport 5432 accept",
    )
    lab.nft(
        "crm-app", f"insert rule inet microseg {_first_chain(stage, 'crm-app')} ip saddr 10.10.2.1 tcp dport 8080 drop"
    )
    lab.nft("mon-1", LEGACY)
    legacy = lab.run("mon-1", ["nft", "-s", "list", "table", "inet", "legacy"]).stdout
    closed = lab.connect("crm-web", "crm-app", "tcp/8080")
    screen.prove("packets feel it: the CRM does not answer its web server any more", closed == "denied", closed)
    screen.command(shlex.join(playbook_words("drift")))
    run = stage.playbook("drift")
    report = stage.report("drift.json")
    shown = stage.microseg("drift")
    screen.command("microseg drift")
    screen.body(shown.output, 18)
    screen.prove("drift fails the job (findings)", run.code != 0 and report.get("outcome") == "findings", run.tail())
    for name, code in (("shop-db", "W-DRIFT-WIDER"), ("crm-app", "W-DRIFT-NARROWER")):
        found = [one for one in report.get("findings", ()) if one["about"] == name]
        facts = {fact["name"]: fact["text"] for fact in found[0]["facts"]} if found else {}
        screen.prove(
            f"{name} is {code.rpartition('-')[2].lower()}, with a packet, the live rule and what should decide",
            [one["code"] for one in found] == [code] and {"witness", "live rule", "intended"} <= set(facts),
            json.dumps(found),
        )
    others = sorted({one["about"] for one in report.get("findings", ())} - {"shop-db", "crm-app"})
    screen.prove("all other hosts are equal, also mon-1 with its foreign table", not others, str(others))
    screen.command(shlex.join(playbook_words("repair")))
    repaired = stage.playbook("repair")
    screen.prove("repair brings both back", repaired.code == 0, repaired.tail())
    now = lab.run("mon-1", ["nft", "-s", "list", "table", "inet", "legacy"]).stdout
    screen.prove("the table of somebody else is untouched", now == legacy)
    again = stage.playbook("drift")
    screen.prove("drift is clean", again.code == 0 and stage.report("drift.json").get("outcome") == "ok", again.tail())


def _first_chain(stage: Stage, host: str) -> str:
    """The chain of our table that sees incoming packets first."""
    assert stage.lab is not None
    listing = json.loads(stage.lab.run(host, ["nft", "-j", "list", "table", "inet", "microseg"]).stdout)["nftables"]
    return next(str(item["chain"]["name"]) for item in listing if item.get("chain", {}).get("hook") == "input")


def safety(screen: Screen, stage: Stage) -> None:
    screen.step("SAFETY  a controller that dies half way, and a policy that would lock it out")
    assert stage.lab is not None
    lab = stage.lab
    _variant(stage, "without-orders", "crm/prod.yml", _without_orders)
    planned = stage.playbook("plan", microseg_policy="without-orders")
    digest = stage.plan_document()["digest"]
    screen.insist("a change was planned: crm-app may no longer ask shop-app", planned.code == 0, planned.tail())
    words = playbook_words("enforce", microseg_plan=digest[:8], microseg_timeout=TIMEOUT)
    screen.command(shlex.join(words) + "   # and kill -9 once a host is armed")
    before = lab.connect(*CONVERSATION)
    controller = stage.start(words)
    waiting = _first_pending(stage, 60)
    stage.kill(controller)
    swapped = time.monotonic()
    armed = _wait(stage, "denied", 10)
    screen.insist(
        f"the controller is dead, {waiting or 'nobody'} waits for its word, and packets see the unconfirmed policy",
        before == "allowed" and armed and _pending(stage, waiting),
    )

    _variant(
        stage,
        "locked-out",
        "estate.yml",
        lambda text: text.replace("10.254.0.1", "10.254.0.99").replace("fd00:254::1", "fd00:254::99"),
    )
    screen.command(shlex.join(playbook_words("plan", microseg_policy="locked-out")))
    refused = stage.playbook("plan", microseg_policy="locked-out")
    line = next((line for line in refused.output.splitlines() if "E-CONTROL-PATH" in line), "")
    screen.body(line[line.find("E-CONTROL-PATH") :], 3)
    screen.prove(
        "a policy that lacks the controller is refused at plan", refused.code != 0 and bool(line), refused.tail()
    )

    back = _wait(stage, "allowed", TIMEOUT + 15)
    waited = time.monotonic() - swapped
    screen.prove(
        f"the host took the unconfirmed change back by itself, {waited:.0f} s after the kill (packets pass again)", back
    )
    matrix = whole_matrix(lab, json.loads(stage.reach())["pairs"])
    screen.prove(
        f"all {matrix.equal:,} of {len(matrix.intended):,} cells are again what the confirmed policy says",
        matrix.equal == len(matrix.intended),
        "; ".join(matrix.differences()[:3]),
    )


def _pending(stage: Stage, host: str) -> bool:
    """Does a change wait for its confirmation? The record on the host says so."""
    assert stage.lab is not None
    record = stage.lab.run(host, ["cat", "/var/lib/microseg/record.json"], check=False).stdout
    return bool(record) and json.loads(record)["pending"] is not None


def _first_pending(stage: Stage, seconds: float) -> str:
    """The first host on which a change waits."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for host in CONVERSATION[:2]:
            if _pending(stage, host):
                return host
    return ""


def _wait(stage: Stage, word: str, seconds: float) -> bool:
    assert stage.lab is not None
    end = time.monotonic() + seconds
    consumer, provider, service = CONVERSATION
    while time.monotonic() < end:
        if stage.lab.connect(consumer, provider, service, timeout=0.3, retries=0) == word:
            return True
        time.sleep(0.05)
    return False


def _variant(stage: Stage, name: str, document: str, change: Callable[[str], str]) -> pathlib.Path:
    """The policy with one document changed, as a revision of it somebody proposes."""
    place = stage.place / name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(POLICY, place)
    text = (place / document).read_text(encoding="utf-8")
    (place / document).write_text(change(text), encoding="utf-8")
    return place


def _without_orders(text: str) -> str:
    return text[: text.index("      - id: orders")]
