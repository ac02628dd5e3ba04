# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The review of a recommendation in Markdown: what to decide, what it rests on, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ...model import services as line
from ...model.markdown import code
from ..documents.shortform import print_rule
from .filters import REASONS, UNWANTED
from .gate import Gate
from .mined import Mined
from .observed import Talk
from .proposal import Recommendation
from .rules import ProposedRule

#: A rule is never cut.
_WHOLE = 1 << 30
#: Lines of one list; the rest is counted.
SHOWN = 20
#: Left out, and somebody should say whether that is right.
_DECIDE = ("denied", "overruled", "inseparable", "dropped", "unplaced")
_CANNOT = """\
- What did not happen in the window, or happened where no sensor looks, is not here: no data is not no traffic.
- An estimate of unseen traffic assumes that the days to come are like those observed. The calendar above is the part of
  that assumption that can be checked.
- Whether traffic that was seen is *wanted* no flow can say. An intruder who is busy daily looks like an application.
- Rules speak about labels. A workload that has the wrong label was learned with the wrong group.
"""


def review(found: Recommendation, mined: Mined | None = None) -> str:
    """Deterministic: equal recommendations give equal text."""
    return "\n".join(_lines(found, mined)).rstrip("\n") + "\n"


def _lines(found: Recommendation, mined: Mined | None) -> Iterator[str]:
    coverage = found.edges.coverage
    talks = sum(len(some) for some in found.sifted.left_out.values()) + len(found.sifted.included)
    yield "# Recommended policy"
    yield ""
    yield f"**{'Complete' if found.complete else 'Not complete'}.** {_verdict(found)}"
    yield ""
    source = code(coverage.source) if coverage.source else "an unnamed source"
    yield f"- observed: {_time(coverage.start)} to {_time(coverage.end)}, by {source}"
    yield f"- flows: {len(found.edges):,} rows, {talks:,} distinct (consumer, provider, service)"
    yield (
        f"- coverage: {len(set(coverage.reported) & set(coverage.expected)):,} of {len(coverage.expected):,} workloads "
        f"reported; loss {coverage.loss:.1%}"
    )
    yield f"- isolation: {found.learning.isolation}; least confidence {found.learning.least_confidence:.0%}"
    yield ""
    yield "## Is the observation complete?"
    yield ""
    for name in sorted(found.gates):
        yield from _gate(found.gates[name])
    if not found.gates:
        yield "Nothing that got through belongs to a scope. There is nothing to judge."
    yield ""
    yield from _proposals(found)
    yield from _names(found)
    yield from _left_out(found)
    if mined is not None:
        yield from _tests(mined)
    yield "## What this cannot know"
    yield ""
    yield _CANNOT


def _verdict(found: Recommendation) -> str:
    rules = f"{len(found.rules)} rule{'' if len(found.rules) == 1 else 's'} proposed"
    open_ones = sum(len(found.sifted.left_out.get(reason, ())) for reason in _DECIDE)
    decide = f", {open_ones} left out that need a decision" if open_ones else ""
    if found.complete:
        return f"{rules}{decide}."
    return f"{rules}{decide}. Do not enforce on this alone: what was not observed would be cut."


def _gate(gate: Gate) -> Iterator[str]:
    unseen = gate.unseen
    yield (
        f"- **{gate.scope}: {gate.verdict}** (unseen traffic {unseen.estimate:.1%}, at most {unseen.upper:.1%}; "
        f"{unseen.edges} service edges, {unseen.once} seen on one day only)"
    )
    for reason in gate.reasons:
        yield f"  - {reason}"


def _proposals(found: Recommendation) -> Iterator[str]:
    yield "## Rules"
    yield ""
    if not found.rules:
        yield "None. What was observed and may be learned is allowed already."
        yield ""
    for scope in sorted({rule.scope for rule in found.rules}):
        new = " (new: name its owners)" if scope in found.scopes else ""
        yield f"### Scope {scope}{new}"
        yield ""
        for rule in found.rules:
            if rule.scope == scope:
                yield from _rule(rule)
        yield ""


def _rule(rule: ProposedRule) -> Iterator[str]:
    evidence = rule.document["evidence"]
    yield f"- **{rule.id}** {code(print_rule(rule.document), _WHOLE)}"
    opened = f"{rule.pairs_observed:,} pairs observed"
    if not rule.pairs_opened:
        opened += ", any opened"
    elif rule.pairs_opened == rule.pairs_observed:
        opened += ", no other opened"
    else:
        opened += f" / {rule.pairs_opened:,} opened (confidence {rule.confidence:.0%})"
    seen = f"{evidence['first_seen']} to {evidence['last_seen']}"
    yield f"  - {rule.maturity}; {opened}; {evidence['flows']:,} flows, {seen}"
    if rule.document["reason"] != "observed":
        yield f"  - reason: {code(rule.document['reason'])}"
    if rule.unseen_services:
        yield f"  - widening: also opens {', '.join(rule.unseen_services)}, which was not seen"
    if rule.outside_scopes:
        yield f"  - extra-scope: also speaks about {', '.join(rule.outside_scopes)}; ask their owners"


def _names(found: Recommendation) -> Iterator[str]:
    if not found.services and not found.ip_lists:
        return
    yield "## New names"
    yield ""
    for name, terms in found.services.items():
        yield f"- service `{name}`: {', '.join(terms)}"
    for name, blocks in found.ip_lists.items():
        texts = [block if isinstance(block, str) else f"{block['cidr']} in zone {block['zone']}" for block in blocks]
        more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
        yield f"- ip_list `{name}`: {', '.join(texts[:SHOWN])}{more}"
    yield ""


def _left_out(found: Recommendation) -> Iterator[str]:
    yield "## Left out"
    yield ""
    left_out = found.sifted.left_out
    if not left_out:
        yield "Nothing."
        yield ""
        return
    yield "| reason | distinct | conversations | what it means |"
    yield "|---|---:|---:|---|"
    for reason, talks in left_out.items():
        yield f"| {reason} | {len(talks):,} | {sum(talk.conversations for talk in talks):,} | {REASONS[reason]} |"
    yield ""
    for reason, talks in left_out.items():
        if reason in _DECIDE or reason in UNWANTED:
            yield f"### {reason}{' (needs a decision)' if reason in _DECIDE else ''}"
            yield ""
            yield from _talks(found, talks)
            yield ""


def _talks(found: Recommendation, talks: Iterable[Talk]) -> Iterator[str]:
    ordered = sorted(talks, key=lambda talk: (-talk.conversations, talk.order))
    for talk in ordered[:SHOWN]:
        detail = found.sifted.details.get(talk.key, "")
        point = line.show(((talk.point, talk.point),))[0]
        dropped = f", {talk.dropped:,} of them dropped" if talk.dropped else ""
        yield (
            f"- {code(f'{talk.consumer} -> {talk.provider} {point}')}: "
            f"{talk.conversations:,}{dropped}, last {_time(datetime.fromtimestamp(talk.last, UTC))}"
            f"{f' ({code(detail)})' if detail else ''}"
        )
    if len(ordered) > SHOWN:
        yield f"- … and {len(ordered) - SHOWN:,} more"


def _tests(mined: Mined) -> Iterator[str]:
    yield "## Tests"
    yield ""
    yield f"{len(mined.tests)} tests for what is approved and was observed, and for guardrails."
    if mined.uncovered:
        yield f"{len(mined.uncovered)} rules and kinds of pairs have none: so many tests at once are the most."
    yield ""
    for test in mined.tests:
        yield f"- {test['name']}: {code(test.get('allow') or test['deny'])} ({test['because']})"
    yield ""


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


__all__ = ["SHOWN", "review"]
