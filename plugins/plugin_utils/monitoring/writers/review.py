# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The review of a change as a comment on a pull request: Markdown that stays below the limits of the forges.

Names, reasons and labels come from whoever wrote the change. They stand in code spans and nowhere else: there a forge
shows every sign as it is, and makes no link, no mention and no HTML of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...model.markdown import code

#: GitHub takes 65,536 characters; bytes are never fewer.
LIMIT = 65_536
#: Where a pipeline finds the comment it wrote before, to replace it.
MARKER = "<!-- microseg review -->"


@dataclass(frozen=True)
class _Section:
    """`open` sections are shown, others unfold. Lines are whole list items: they are left out, never cut."""

    title: str
    lines: Sequence[str]
    open: bool = True


def render(data: Mapping[str, Any], full: str = "") -> str:
    """`data` is that of `workflow.review`. `full` says where all of it is, for what the limit leaves out."""
    head = [MARKER, _headline(data), "", *_summary(data)]
    return _fitting(head, [one for one in _sections(data) if one.lines], full)


def refused(findings: Sequence[Mapping[str, Any]], full: str = "") -> str:
    """The comment where the documents cannot be read at all, so that nothing can be said about packets."""
    head = [MARKER, "## Policy review: the documents cannot be read", "", "Nothing else was judged."]
    return _fitting(head, [_Section("Errors", [_finding(one) for one in findings if one["severity"] == "error"])], full)


def _fitting(head: Sequence[str], sections: Sequence[_Section], full: str) -> str:
    """With as many lines of every section as the limit has room for."""

    def text(most: int) -> str:
        return "\n".join([*head, *_body(sections, most, full)]) + "\n"

    few, most = 0, max((len(one.lines) for one in sections), default=0)
    while few < most:
        middle = (few + most + 1) // 2
        few, most = (middle, most) if len(text(middle).encode()) <= LIMIT else (few, middle - 1)
    return text(few)


def _headline(data: Mapping[str, Any]) -> str:
    errors = sum(one["severity"] == "error" for one in data["findings"])
    verdict = "in order" if data["outcome"] == "ok" else _count(errors, "error")
    return f"## Policy review: {verdict}"


def _summary(data: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"**{data['pairs_allowed']:,}** pairs newly allowed, **{data['pairs_denied']:,}** newly denied, "
        f"judged over {code(data['basis'])} as if everything were enforced."
    )
    if data["today"] is not None:
        now = sum(data["today"].values())
        yield f"By the modes of today {_count(now, 'box', 'boxes')} of packets change at once."
    if not data.get("complete", True):
        yield "**Not every moment was compared**: too many schedules open and close apart from each other."
    yield ""
    yield "| risk | before | after | level |"
    yield "|---|---:|---:|---|"
    for name in ("security", "availability"):
        risk = data[name]
        shown = ["unknown" if risk[key] is None else f"{risk[key]:,.1f}" for key in ("before", "after")]
        yield f"| {name} | {shown[0]} | {shown[1]} | **{risk['level']}** |"
    yield ""
    seen = data["observed"]
    if seen is None:
        yield "No flows were given: what breaks is unknown. No data is not no traffic."
    else:
        yield (
            f"Flows of {code(seen['start'])} to {code(seen['end'])}: {seen['conversations']:,} conversations, "
            f"coverage {seen['coverage']:.0%}, loss {seen['loss']:.1%}."
        )


def _sections(data: Mapping[str, Any]) -> Iterator[_Section]:
    """The most important first."""
    severe = [one for one in data["findings"] if one["severity"] == "error"]
    rest = [one for one in data["findings"] if one["severity"] != "error"]
    yield _Section("Errors", [_finding(one) for one in severe])
    yield _Section("Guardrails violated", [_guardrail(one) for one in data["guardrails"] or ()])
    yield _Section("Tests that fail", [_test(one) for one in data["tests"] or ()])
    yield _Section("Tests that are gone", [_lost(one) for one in data["tests_lost"]])
    yield _Section("Required approvals", [_approval(one) for one in data["approvals"]])
    yield _Section("Newly denied", [_box(one) for one in data["newly_denied"]])
    yield _Section("Newly allowed", [_box(one) for one in data["newly_allowed"]])
    yield _Section("Rules", [_rule(one) for one in data["rules"]])
    yield _Section("Other documents", [_document(one) for one in data["documents"]])
    yield _Section("Scheduled changes", [_scheduled(one) for one in data["scheduled"]])
    yield _Section("New warnings and remarks", [_finding(one) for one in rest], open=False)
    if data["guardrails"] is None:
        yield _Section("Not judged", ["- Guardrails and tests need an inventory (`-i`)."])


def _body(sections: Sequence[_Section], most: int, full: str) -> Iterator[str]:
    for section in sections:
        yield ""
        title = f"{section.title} ({len(section.lines):,})"
        yield f"### {title}" if section.open else f"<details><summary>{title}</summary>"
        yield ""
        yield from section.lines[:most]
        left = len(section.lines) - most
        if left > 0:
            yield f"- … and {left:,} more{f': see {full}' if full else ''}"
        if not section.open:
            yield ""
            yield "</details>"


def _finding(one: Mapping[str, Any]) -> str:
    hint = f" {code(one['hint'])}" if one["hint"] else ""
    return f"- **{one['code']}**{_place(one)} {code(one['message'])}{hint}"


def _guardrail(one: Mapping[str, Any]) -> str:
    witness = one["witness"]
    packet = f", for example {_packet(witness)}" if witness else ""
    mark = "" if one["new"] else " (as before)"
    return f"- {code(one['id'])} ({one['severity']}){mark}: {_count(one['pairs'], 'pair')}{packet}"


def _test(one: Mapping[str, Any]) -> str:
    mark = "" if one["new"] else " (as before)"
    because = f", because {code(one['because'])}" if one["because"] else ""
    return f"- {code(one['text'])} expects {code(one['expect'])}{mark}: {code(one['detail'])}{because}{_place(one)}"


def _lost(one: Mapping[str, Any]) -> str:
    seen = one["conversations"]
    flows = "" if seen is None else f"; {_count(seen, 'conversation')} observed there"
    return (
        f"- {code(one['text'])} expected {code(one['expect'])}; nothing looks at {_words(one['services'])} there "
        f"any more{flows}"
    )


def _approval(one: Mapping[str, Any]) -> str:
    state = {True: "✅ ", False: "❌ ", None: ""}[one["given"]]
    who = " or ".join(map(code, one["parties"])) if one["parties"] else "nobody is named who could"
    why = ", ".join(map(code, one["why"][:3]))
    more = f" and {len(one['why']) - 3:,} more" if len(one["why"]) > 3 else ""
    return f"- {state}{code(one['subject'])}: {who} (for {why}{more})"


def _box(one: Mapping[str, Any]) -> str:
    since = f", from {code(one['since'])} on" if one.get("since") else ""
    return (
        f"- {code(one['from'])} → {code(one['to'])} {_words(one['services'])} "
        f"({one['family']}, {_count(one['pairs'], 'pair')}{since}), for example {_packet(one['witness'])}"
    )


def _rule(one: Mapping[str, Any]) -> str:
    stage = f"{one['was']} → {one['stage']}" if one["was"] not in ("", one["stage"]) else one["stage"]
    said = f"- {code(one['rule'])} {one['what']} ({one['action']}, {stage}){_place(one)}"
    if one["by_name"]:
        said += ", by a service or list that it names"
    if one["reason"]:
        said += f", reason {code(one['reason'])}"
    return said + _evidence(one["evidence"])


def _evidence(evidence: Mapping[str, Any] | None) -> str:
    if evidence is None:
        return ""
    flows = f"{_count(evidence['conversations'], 'conversation')}"
    dropped = f", {evidence['dropped']:,} of them dropped" if evidence["dropped"] else ""
    last = f", last {code(evidence['last'])}" if evidence["last"] else ""
    strength = f"**{evidence['strength']}**: " if evidence["strength"] else ""
    breaks = f"; **{evidence['breaks']:,} would break**" if evidence["breaks"] else ""
    return f" — {strength}{flows}{dropped}{last}{breaks}"


def _document(one: Mapping[str, Any]) -> str:
    return f"- {one['kind']} {code(one['name'])} {one['what']}{_place(one)}"


def _scheduled(one: Mapping[str, Any]) -> str:
    return f"- {code(one['rule'])} {one['event']} {code(one['moment'])}"


def _packet(witness: Mapping[str, Any]) -> str:
    return code(f"{witness['from']} -> {witness['to']} {witness['service']}")


def _words(words: Iterable[str]) -> str:
    return code(" ".join(words))


def _place(one: Mapping[str, Any]) -> str:
    return f" {code(one['file'] + ':' + str(one['line']))}" if one["file"] else ""


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number:,} {word if number == 1 else words or word + 's'}"


__all__ = ["LIMIT", "MARKER", "code", "refused", "render"]
