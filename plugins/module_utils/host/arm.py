# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arm a change: check that the host is where the plan thinks it is, start the guard, swap the table.

The order is the safety: what can fail for want of space or of a tool comes before the swap; the guard is alive and
the change on record before the swap; the swap is one transaction. Whatever dies in between, the guard takes it back.
"""

from __future__ import annotations

import secrets
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from . import guard, install, revert, sockets
from .errors import BASE_MOVED, PAYLOAD, PENDING, TOOL, HostError
from .listing import ABSENT, canonical_hash, counters, foreign, members
from .machine import Machine
from .nft import Listing
from .payload import Policy
from .state import (
    CONFIRMED,
    MEMBERS,
    RECORD,
    WAITING,
    Confirmed,
    confirmed_file,
    expired,
    members_file,
    waiting_file,
)
from .text import readable
from .transaction import REMOVE, TRUST, is_open, move_members, replace, replace_open
from .trust import trusted

OLDEST_FOR_SCHEDULES = (0, 9, 4)


class Wish(NamedTuple):
    """What a controller wants. ``policy`` None: nothing of ours shall stay. Times in seconds; ``warm_up`` 0: none.

    ``clock_kept``: something that the kernel does not see keeps the clock of this host right.
    """

    policy: Optional[Policy]
    base: str
    plan: str
    step: str
    timeout: float
    warm_up: float = 0.0
    diff: bool = False
    check: bool = False
    clock_kept: bool = False


class Now(NamedTuple):
    """The host before the change."""

    record: Dict[str, Any]
    listing: Optional[Listing]
    hash: str
    confirmed: Optional[Confirmed]
    findings: List[Dict[str, str]]


def arm(machine: Machine, wish: Wish) -> Dict[str, Any]:
    """Swap the table under guard. Returns changed, hash, hash_before, token, deadline, remaining, record and evidence.

    Refuses with E-PENDING, E-BASE-MOVED, E-HOST-*; then nothing was changed. ``token`` is None if nothing was armed.
    """
    with machine.state.undisturbed() if wish.check else machine.state.locked():
        return _arm(machine, wish)


def _arm(machine: Machine, wish: Wish) -> Dict[str, Any]:
    now = _look(machine, wish)
    target, text = _target(machine, wish, now)
    if now.record["pending"] is not None and _never_swapped(wish, now):
        if not wish.check:
            revert.take_back(machine, now.record, "its own plan starts it again")
        now = _look(machine, wish)
        now = now._replace(record=dict(now.record, pending=None))
    if now.record["pending"] is not None:
        return _resume(machine, wish, now)
    if now.record["break_glass"] is not None:
        glass = now.record["break_glass"]
        raise HostError(
            PENDING,
            "{0} is opened by break-glass until {1} ({2}). Nothing was changed.".format(
                machine.name, glass["until"], glass["reason"]
            ),
            record=now.record,
        )
    if wish.diff:
        text = {"before": readable(machine.nft.text()), "after": readable(text)}
    else:
        text = None
    if target == now.hash and _already_confirmed(wish, now):
        return dict(_keep(machine, wish, now), diff=text)
    if _further(wish, now):
        return dict(_result(machine, now, changed=False, hash=now.hash), ahead=True, diff=text)
    if now.hash not in (wish.base, target):
        raise HostError(
            BASE_MOVED,
            "{0} live {1}, plan expects {2}. Nothing was changed. Plan this host again.".format(
                machine.name, now.hash[:12], wish.base[:12]
            ),
            record=now.record,
            hash=now.hash,
        )
    right = wish.clock_kept or trusted(machine)
    transaction = REMOVE if wish.policy is None else replace(wish.policy, wish.policy.members, right)
    _understands(machine, wish)
    machine.nft.check(transaction)
    if wish.check:
        return _result(machine, now, changed=True, hash=target, diff=text)
    return _swap(machine, wish, now, transaction, target, text)


def _understands(machine: Machine, wish: Wish) -> None:
    """Schedules are sets of `typeof meta time`: an older nft would only speak of a syntax error."""
    if wish.policy is None or not wish.policy.scheduled:
        return
    version = machine.nft.version()
    if tuple(int(part) for part in version.split(".") if part.isdigit()) < OLDEST_FOR_SCHEDULES:
        raise HostError(
            TOOL,
            "nft {0} does not know sets of times, which schedules need (nft {1} or newer). Nothing was changed.".format(
                version, ".".join(map(str, OLDEST_FOR_SCHEDULES))
            ),
        )


def _look(machine: Machine, wish: Wish) -> Now:
    record = machine.state.record()
    if not wish.check:
        record = revert.settle(machine, record)
    findings: List[Dict[str, str]] = []
    confirmed: Optional[Confirmed] = None
    try:
        confirmed = revert.own_confirmed(machine.state)
    except HostError as error:
        findings.append({"code": "boot-policy-unusable", "detail": error.message})
    listing = machine.nft.table()
    live = canonical_hash(listing)
    if confirmed is None and live != ABSENT:
        findings.append(
            {"code": "never-confirmed", "detail": "a revert would remove the live table, nothing is stored"}
        )
    return Now(record, listing, live, confirmed, findings)


def _target(machine: Machine, wish: Wish, now: Now) -> Tuple[Optional[str], Any]:
    """Hash and text the kernel will show for the wish; the hash is None where only loading can tell."""
    if wish.policy is None:
        return ABSENT, ""
    preview = machine.nft.preview(wish.policy.ruleset)
    if preview is None:
        stored = now.confirmed is not None and now.confirmed.policy.text_digest == wish.policy.text_digest
        return (now.record["hash"] if stored else None), wish.policy.ruleset
    strangers = foreign(preview.listing)
    if strangers:
        raise HostError(
            PAYLOAD, "the ruleset makes more than our table: {0}. Nothing was changed.".format(strangers[0])
        )
    return canonical_hash(preview.listing), preview.text


def _already_confirmed(wish: Wish, now: Now) -> bool:
    if wish.policy is None:
        return False  # a removal also has files to remove, by its confirmation
    return now.confirmed is not None and now.confirmed.policy.text_digest == wish.policy.text_digest


def _further(wish: Wish, now: Now) -> bool:
    """Has a later step of the same plan been confirmed here already? A rollout that is resumed then goes on there."""
    record = now.record
    return bool(
        record["plan"] == wish.plan and (record["step"] or "") > wish.step and record["hash"] == now.hash != ABSENT
    )


def _keep(machine: Machine, wish: Wish, now: Now) -> Dict[str, Any]:
    """The policy is there and confirmed: at most the membership moves, or the record learns newer names for it."""
    policy = wish.policy
    assert policy is not None
    assert now.confirmed is not None
    live = members(now.listing)
    moved = live != policy.members
    names = {
        "policy_digest": policy.policy_digest,
        "artifact_digest": policy.artifact_digest,
        "plan": wish.plan,
        "step": wish.step,
        "clock_kept": wish.clock_kept,
    }
    stored = now.confirmed.members != policy.members
    renamed = any(now.record[key] != value for key, value in names.items())
    transaction = move_members(live, policy.members) if moved else ""
    trust = wish.clock_kept and machine.nft.trusting() is False
    if trust:
        transaction += TRUST
    if wish.check:
        if transaction:
            machine.nft.check(transaction)
    elif transaction or stored or renamed:
        record = dict(now.record, epoch=now.record["epoch"] + 1, **names)
        staged = machine.state.stage(
            {
                CONFIRMED: confirmed_file(policy, now.confirmed.token, now.confirmed.machine),
                MEMBERS: members_file(policy, policy.members),
                RECORD: record,
            }
        )
        try:
            if transaction:
                machine.nft.load(transaction)
        except HostError:
            staged.abandon()
            raise
        staged.commit()
        now = now._replace(record=record)
    return _result(machine, now, changed=moved or trust, hash=now.hash, members_changed=_count(live, policy.members))


def _count(before: Dict[str, FrozenSet[str]], after: Dict[str, FrozenSet[str]]) -> Dict[str, int]:
    names = set(before) | set(after)
    nothing: FrozenSet[str] = frozenset()
    return {
        "added": sum(len(after.get(name, nothing) - before.get(name, nothing)) for name in names),
        "removed": sum(len(before.get(name, nothing) - after.get(name, nothing)) for name in names),
    }


def _swap(machine: Machine, wish: Wish, now: Now, transaction: str, target: Optional[str], text: Any) -> Dict[str, Any]:
    token = secrets.token_hex(8)
    deadline = machine.clock.boottime() + wish.timeout
    pending = {
        "token": token,
        "kind": "removal" if wish.policy is None else "policy",
        "plan": wish.plan,
        "step": wish.step,
        "policy_digest": None if wish.policy is None else wish.policy.policy_digest,
        "artifact_digest": None if wish.policy is None else wish.policy.artifact_digest,
        "text_digest": None if wish.policy is None else wish.policy.text_digest,
        "hash_before": now.hash,
        "hash_after": target,
        "deadline_boottime": deadline,
        "boot_id": machine.clock.boot_id(),
        "armed_at": machine.clock.wall(),
    }
    before = dict(now.record, clock_kept=wish.clock_kept)
    record = _stand_guard(machine, before, pending, {WAITING: waiting_file(wish.policy)})
    will_break = None
    try:
        if wish.warm_up and now.hash == ABSENT and wish.policy is not None:
            will_break = _warm_up(machine, wish.warm_up)
        machine.nft.load(transaction)
    except HostError:
        # One transaction: the policy did not come. What the warm-up left goes too.
        revert.take_back(machine, record, "the policy did not load")
        raise
    after = canonical_hash(machine.nft.table())
    if after != target:
        record = dict(record, pending=dict(record["pending"], hash_after=after))
        try:
            machine.state.write({RECORD: record})
        except HostError:
            revert.take_back(machine, record, "the record could not be written")
            raise
    return _result(
        machine,
        now._replace(record=record),
        changed=True,
        hash=after,
        diff=text,
        will_break=will_break,
        counters=counters(now.listing),
    )


def _stand_guard(
    machine: Machine, before: Dict[str, Any], pending: Dict[str, Any], files: Dict[str, Dict[str, Any]]
) -> Dict[str, Any]:
    """Start the guard, put the change on record, prove the guard alive; or leave everything as it was."""
    install.ensure(machine.state)
    watch = guard.start(machine.state, machine.clock, pending["token"], pending["deadline_boottime"])
    record = dict(before, pending=dict(pending, guard=watch.info), epoch=before["epoch"] + 1)
    try:
        machine.state.write(dict(files, **{RECORD: record}))
    except HostError:
        watch.abandon()
        raise
    try:
        watch.prove()
    except HostError:
        watch.abandon()
        revert.remember(machine, before)
        raise
    return record


def _warm_up(machine: Machine, seconds: float) -> Optional[List[Dict[str, Any]]]:
    """Let connection tracking see the running sessions before anything strict loads; report those it has not seen."""
    machine.nft.load(replace_open())
    machine.clock.sleep(seconds)
    return sockets.untracked()


def _is_pending(wish: Wish, pending: Dict[str, Any]) -> bool:
    policy = wish.policy
    return (pending["plan"], pending["step"], pending["artifact_digest"], pending["text_digest"]) == (
        wish.plan,
        wish.step,
        None if policy is None else policy.artifact_digest,
        None if policy is None else policy.text_digest,
    )


def _never_swapped(wish: Wish, now: Now) -> bool:
    """Was the pending change this very wish, by a controller that died between its record and its swap?"""
    pending = now.record["pending"]
    started = now.hash == pending["hash_before"] or is_open(now.listing)
    return _is_pending(wish, pending) and now.hash != pending["hash_after"] and started


def _resume(machine: Machine, wish: Wish, now: Now) -> Dict[str, Any]:
    """The same change again, by a controller that lost the first answer; else a refusal that names what is pending."""
    pending = now.record["pending"]
    if not _is_pending(wish, pending) or now.hash != pending["hash_after"] or expired(pending, machine.clock):
        raise HostError(
            PENDING,
            "plan {0} step {1} waits here for confirmation, {2:.0f} s to its deadline. Nothing was changed. "
            "Confirm or revert it, or wait.".format(
                pending["plan"], pending["step"], pending["deadline_boottime"] - machine.clock.boottime()
            ),
            record=now.record,
        )
    if not wish.check and not guard.alive(pending["guard"]):
        bare = {key: value for key, value in pending.items() if key != "guard"}
        now = now._replace(record=_stand_guard(machine, now.record, bare, {}))
    return _result(machine, now, changed=False, hash=now.hash, resumed=True)


def _result(machine: Machine, now: Now, changed: bool, hash: Optional[str], **more: Any) -> Dict[str, Any]:
    pending = now.record["pending"]
    deadline = None if pending is None else pending["deadline_boottime"]
    return dict(
        {
            "changed": changed,
            "hash": hash,
            "hash_before": now.hash,
            "token": None if pending is None else pending["token"],
            "deadline": deadline,
            "remaining": None if deadline is None else round(deadline - machine.clock.boottime(), 1),
            "record": now.record,
            "findings": now.findings,
            "resumed": False,
        },
        **more,
    )
