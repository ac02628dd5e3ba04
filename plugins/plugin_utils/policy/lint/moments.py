# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules that have ended, will end soon, or whose schedule opens no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from ..resolve import ResolvedRule
from .context import Context
from .report import LintFinding, about

#: How far ahead an opening is looked for: leap days and yearly schedules are in it.
SEARCHED = timedelta(days=366 * 8)


def ends_and_openings(context: Context) -> Iterator[LintFinding]:
    for item in context.items:
        expires = item.rule.expires
        if expires is not None and expires <= context.at:
            if item.stage == "draft":  # `check` says it of the others
                yield about(
                    item, "W-RULE-EXPIRED", "warning", f"ended {_text(expires)}.", "Remove it, or give it a new end."
                )
            continue
        if expires is not None and expires <= context.at + context.soon:
            days = (expires - context.at) / timedelta(days=1)
            yield about(
                item,
                "W-RULE-ENDS",
                "info",
                f"ends in {days:.0f} days, on {_text(expires)}.",
                "Give it a new end, or remove it once nobody needs it.",
                {"expires": expires.isoformat(), "days": round(days, 2)},
            )
        yield from _never_opens(item, context.at)


def _never_opens(item: ResolvedRule, at: datetime) -> Iterator[LintFinding]:
    schedule = item.rule.schedule
    if schedule is None:
        return
    until = at + SEARCHED
    if item.rule.expires is not None:
        until = min(until, item.rule.expires)
    if schedule.windows(at, until):
        return
    why = f"before it ends on {_text(until)}" if until == item.rule.expires else f"until {_text(until)}"
    yield about(
        item,
        "W-NEVER-OPENS",
        "warning",
        f"never counts again: its schedule has no window {why}.",
        "Correct when.schedule, or remove the rule.",
        {"searched_until": until.isoformat()},
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")


__all__ = ["SEARCHED", "ends_and_openings"]
