# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Confirm a change: controller and peers have reached the host, so the guard may go and the boot policy follow."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from . import conntrack, guard, removal, revert, units
from .errors import BASE_MOVED, DISK, PENDING, REVERTED, HostError
from .listing import canonical_hash
from .machine import Machine
from .state import (
    CONFIRMED,
    MEMBERS,
    RECORD,
    WAITING,
    add_alarm,
    confirmed_file,
    expired,
    machine_identity,
    members_file,
    settle_confirmed,
)


def confirm(
    machine: Machine, token: str, reset: Sequence[Mapping[str, Any]] = (), check: bool = False
) -> Dict[str, Any]:
    """Make the pending change ``token`` the confirmed one. Returns changed, hash, record, reset, findings, boot.

    A confirmed removal returns ``remains`` too. ``reset`` names connections to cut, see `conntrack.reset`. Confirming
    twice is no error. Refuses with E-REVERTED if the change was taken back, with E-PENDING if another one is pending,
    with E-BASE-MOVED if the table is not the one that was armed.
    """
    with machine.state.undisturbed() if check else machine.state.locked():
        record = machine.state.record()
        if not check:
            record = revert.finish_confirmation(machine, record)
        pending = record["pending"]
        if pending is None or pending["token"] != token:
            return _not_pending(machine, record, token)
        if expired(pending, machine.clock):
            if not check:
                record = revert.settle(machine, record)
            raise _reverted(record["reverted"] or {"why": "the deadline passed", "at": machine.clock.wall()}, record)
        live = canonical_hash(machine.nft.table())
        if live != pending["hash_after"]:
            raise HostError(
                BASE_MOVED,
                "{0} live {1}, armed was {2}: somebody changed the table. Not confirmed; it reverts at the "
                "deadline.".format(machine.name, live[:12], str(pending["hash_after"])[:12]),
                record=record,
                hash=live,
            )
        findings: List[Dict[str, str]] = []
        if not guard.alive(pending["guard"]):
            # The change is proven by the controller; to refuse it would leave it neither confirmed nor guarded.
            findings.append({"code": "guard-lost", "detail": "the guard of this change died before the confirmation"})
        if check:
            return _result(True, live, record, findings)
        if pending["kind"] == "removal":
            guard.stop(pending["guard"])
            cut = conntrack.reset(reset, findings)
            remains = removal.erase(machine)
            return dict(_result(True, live, None, findings), reset=cut, remains=remains)
        return _keep(machine, record, live, reset, findings)


def _keep(
    machine: Machine,
    record: Dict[str, Any],
    live: str,
    reset: Sequence[Mapping[str, Any]],
    findings: List[Dict[str, str]],
) -> Dict[str, Any]:
    pending = record["pending"]
    policy = machine.state.waiting()
    if policy is None or policy.text_digest != pending["text_digest"]:
        raise HostError(DISK, "{0} is not the armed policy. Not confirmed.".format(machine.state.path(WAITING)))
    after = settle_confirmed(record, machine.clock)
    for one in findings:
        add_alarm(after, machine.clock, one["code"], one["detail"])
    # Boot policy first: if the power goes between the renames, `finish_confirmation` completes the record.
    machine.state.write(
        {
            CONFIRMED: confirmed_file(policy, pending["token"], machine_identity()),
            MEMBERS: members_file(policy, policy.members),
            RECORD: after,
        }
    )
    machine.state.remove(WAITING)
    guard.stop(pending["guard"])
    cut = conntrack.reset(reset, findings)
    return dict(_result(True, live, after, findings), reset=cut, boot=units.install(machine.state))


def _not_pending(machine: Machine, record: Dict[str, Any], token: str) -> Dict[str, Any]:
    pending, reverted = record["pending"], record["reverted"]
    if record["confirmed_token"] == token:
        return _result(False, canonical_hash(machine.nft.table()), record, [])
    if reverted is not None and reverted["token"] == token:
        raise _reverted(reverted, record)
    if pending is not None:
        raise HostError(
            PENDING,
            "plan {0} step {1} is pending here, not the change to confirm. Nothing was changed.".format(
                pending["plan"], pending["step"]
            ),
            record=record,
        )
    raise HostError(
        REVERTED,
        "{0} knows of no change {1}: it was taken back or never armed.".format(machine.name, token),
        record=record,
    )


def _reverted(reverted: Mapping[str, Any], record: Dict[str, Any]) -> HostError:
    return HostError(
        REVERTED,
        "the change was taken back at {0}: {1}. Plan this host again.".format(reverted["at"], reverted["why"]),
        record=record,
    )


def _result(changed: bool, live: str, record: Any, findings: List[Dict[str, str]]) -> Dict[str, Any]:
    return {"changed": changed, "hash": live, "record": record, "findings": findings, "reset": [], "boot": None}
