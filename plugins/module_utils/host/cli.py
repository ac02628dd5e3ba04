# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``microseg-host VERB``: what watchdog, units and local administrators run. Exit 0 done, 2 could not."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Dict, List

from . import arm, boot, breakglass, confirm, guard, revert, watchdog
from .errors import HostError
from .listing import canonical_hash
from .machine import Machine
from .state import State

__all__ = ["arm", "confirm", "main"]  # arm and confirm: so that the installed package is complete


def main(words: List[str], directory: str) -> int:
    """Run one verb on the state in ``directory``."""
    options = _parser().parse_args(words)
    machine = Machine(State(directory))
    try:
        return _run(machine, options)
    except HostError as error:
        sys.stderr.write(str(error) + "\n")
        return 2


def _run(machine: Machine, options: argparse.Namespace) -> int:
    if options.verb == "watchdog":
        return watchdog.stand_guard(machine, options.token, options.deadline)
    if options.verb == "revert":
        return _revert(machine, options.token)
    if options.verb == "boot":
        return _say(boot.boot(machine))
    if options.verb == "check":
        return _say(boot.check(machine))
    if options.verb == "break-glass":
        glass = breakglass.open_host(machine, options.minutes, " ".join(options.reason))
        return _say("open until {0}. To close earlier: {1} revert".format(glass["until"], machine.state.entry))
    return _say(json.dumps(status(machine), indent=1, sort_keys=True))


def _revert(machine: Machine, token: str) -> int:
    if token:
        revert.expire(machine, token)
        return 0
    if breakglass.close_host(machine):
        return _say("break-glass ended")
    done = revert.revert(machine, None, "by hand on the host")
    return _say("the pending change was taken back" if done["changed"] else "no change is pending")


def status(machine: Machine) -> Dict[str, Any]:
    """The record, the live hash and whether the guard of the pending change lives."""
    record = machine.state.record()
    waiting = record["pending"] or record["break_glass"]
    return {
        "record": record,
        "hash": canonical_hash(machine.nft.table()),
        "timed_rules_withheld": machine.nft.trusting() is False,
        "guarded": None if waiting is None else guard.alive(waiting["guard"]),
    }


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="microseg-host", description="The policy of this host.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    watch = verbs.add_parser("watchdog", help="stand guard over a change (started by the change itself)")
    watch.add_argument("token")
    watch.add_argument("deadline", type=float, help="boot time in seconds")
    back = verbs.add_parser("revert", help="take back the pending change, or end break-glass")
    back.add_argument("token", nargs="?", default="", help="only this change (used by its guard)")
    verbs.add_parser("boot", help="load the last confirmed policy")
    verbs.add_parser("check", help="restore the table if it is missing")
    glass = verbs.add_parser("break-glass", help="open the host for a bounded time")
    glass.add_argument("minutes", type=float)
    glass.add_argument("reason", nargs="+")
    verbs.add_parser("status", help="print the record as JSON")
    return parser
