# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""rule, grant: change policy documents in place. What would not load, or would be an error, is never written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..model import selectors
from ..model.errors import Finding, Place, PolicyError, Rejected
from ..model.policy import STAGES, Policy, Stage
from ..model.selectors import Requirement
from ..orchestration.files import write_atomically
from ..policy.authoring import Edit, PolicyFiles, add_rule, move_rule, read_files, remove_rules, rule_id
from ..policy.changes import homes
from ..policy.documents import label_variables, loads, parse_rule
from ..policy.facts_file import load_facts
from .inputs import Hosts, Inputs, join

GRANTS = "grants"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DURATION = re.compile(
    r"^P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,6})M)?)?$",
    re.ASCII,
)
#: Ten years: what is meant for longer is a rule.
_LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class RuleEdit:
    """`rules` are those touched. `diff` is a unified diff per file. `written` is False of a dry run.

    `findings` are what the changed policy is told about these rules.
    """

    action: str
    rules: tuple[str, ...]
    scope: str
    ruleset: str
    diff: Mapping[str, str]
    written: bool
    findings: tuple[Finding, ...] = ()
    text: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "rules": list(self.rules),
            "scope": self.scope,
            "ruleset": self.ruleset,
            "diff": dict(self.diff),
            "written": self.written,
            "findings": [finding.to_dict() for finding in self.findings],
            "rule": dict(self.text) if self.text is not None else None,
        }


@dataclass(frozen=True)
class Desk:
    """A policy directory that is being edited. `hosts`: with an inventory rules are judged against the estate too.

    `facts`: files of facts about that estate.
    """

    directory: Path
    hosts: Hosts | None = None
    at: datetime | None = None
    dry_run: bool = False
    facts: tuple[Path, ...] = ()

    @property
    def now(self) -> datetime:
        return self.at or datetime.now(UTC)


@dataclass(frozen=True)
class Particulars:
    """What a rule says besides its line. Empty means not said."""

    id: str = ""
    reason: str = ""
    owner: str = ""
    ticket: str = ""
    expires: str = ""
    log: bool = False

    def rule(self, line: str, taken: list[str], prefix: str = "") -> dict[str, Any]:
        """The rule as a document has it. Raises PolicyError (E-SHORT-FORM)."""
        parsed = parse_rule(line)
        rule: dict[str, Any] = {"id": self.id or rule_id(parsed, taken, prefix)}
        if parsed["action"] != "allow":
            rule["action"] = parsed["action"]
        rule.update({"from": _written(parsed["from"]), "to": _written(parsed["to"]), "services": parsed["services"]})
        rule.update({key: value for key in ("reason", "owner", "ticket", "expires") if (value := getattr(self, key))})
        return {**rule, "log": True} if self.log else rule


def add(
    desk: Desk, line: str, particulars: Particulars, scope: str = "", ruleset: str = "", stage: Stage | None = None
) -> RuleEdit:
    """Add a rule in short form. `stage`: make the ruleset with it if the scope does not have it.

    Raises PolicyError (E-SHORT-FORM, E-SCOPE, E-RULESET, E-RULE-TWICE, E-EDIT) or Rejected.
    """
    files = read_files(desk.directory)
    home = files.scope(scope) if scope else files.only_scope()
    name = ruleset or _only_ruleset(files, home.name)
    rule = particulars.rule(line, _taken(files, home.name))
    present = files.ruleset(home, name)
    current = stage if present is None else present.data.get("stage", "draft")
    if stage is not None and present is not None and current != stage:
        raise PolicyError(
            "E-RULESET",
            f"ruleset {name} of scope {home.name} is there, and it is {current}, not {stage}.",
            present.spot.place,
            "Leave --stage out, or give the new ruleset another name.",
        )
    edit = add_rule(files, home, name, rule, None if stage is None else {"stage": stage})
    return _finish(desk, files, edit, RuleEdit("add", (rule["id"],), home.name, name, {}, False, text=rule))


def remove(desk: Desk, rule: str, scope: str = "") -> RuleEdit:
    """Raises PolicyError (E-RULE, E-EDIT) or Rejected."""
    files = read_files(desk.directory)
    home, position = files.one_rule(rule, scope)
    edit = remove_rules(files, [(home, position)])
    return _finish(desk, files, edit, RuleEdit("remove", (rule,), home.scope, home.name, {}, False))


def remove_expired(desk: Desk, scope: str = "") -> RuleEdit:
    """Take out every rule whose end has passed: it decides nothing any more."""
    files = read_files(desk.directory)
    policy, _findings = loads(files.texts)
    ended = {
        (one.name, rule.id)
        for one in policy.scopes
        for ruleset in one.rulesets
        for rule in ruleset.rules
        if rule.expires is not None and rule.expires <= desk.now and scope in ("", one.name)
    }
    places = [place for name, rule in sorted(ended) for place in files.rules_named(rule, name)]
    names = tuple(rule for _scope, rule in sorted(ended))
    edit = remove_rules(files, places)
    return _finish(desk, files, edit, RuleEdit("remove", names, scope, "", {}, False))


def move(desk: Desk, rule: str, ruleset: str, scope: str = "", to_scope: str = "") -> RuleEdit:
    """Move a rule to another ruleset, of the same scope unless another is named.

    Raises PolicyError (E-RULE, E-SCOPE, E-RULESET, E-RULE-TWICE, E-EDIT) or Rejected.
    """
    files = read_files(desk.directory)
    source = files.one_rule(rule, scope)
    home = files.scope(to_scope or source[0].scope)
    target = files.ruleset(home, ruleset)
    if target is None:
        names = ", ".join(item.name for item in home.rulesets) or "none"
        raise PolicyError(
            "E-RULESET", f"scope {home.name} has no ruleset {ruleset!r} (it has: {names}).", home.spot.place
        )
    edit = move_rule(files, source, target)
    return _finish(desk, files, edit, RuleEdit("move", (rule,), home.name, ruleset, {}, False))


def grant(
    desk: Desk, line: str, particulars: Particulars, *, lasting: str = "", scope: str = "", ruleset: str = GRANTS
) -> RuleEdit:
    """A time-boxed allow rule with owner, reason and end; it ends by itself, on the hosts too.

    `lasting` is an ISO 8601 duration from now (`PT4H`), or `particulars.expires` says the end. A ruleset that does not
    exist yet is made, active. Raises PolicyError (E-GRANT and those of `add`) or Rejected.
    """
    if parse_rule(line)["action"] != "allow":
        raise PolicyError("E-GRANT", "a grant allows.", hint="For a deny with an end: microseg rule add … --expires.")
    missing = [word for word in ("owner", "reason") if not getattr(particulars, word).strip()]
    if missing:
        raise PolicyError("E-GRANT", f"a grant needs {' and '.join(missing)}.", hint="Say --owner WHO --reason WHY.")
    if bool(lasting) == bool(particulars.expires):
        raise PolicyError(
            "E-GRANT", "a grant needs one end.", hint="Say --for PT4H, or --until 2026-12-01T18:00:00+01:00."
        )
    if lasting:
        particulars = replace(particulars, expires=_end(desk.now, lasting))
    files = read_files(desk.directory)
    home = files.scope(scope) if scope else files.only_scope()
    rule = particulars.rule(line, _taken(files, home.name), prefix=f"grant-{desk.now:%Y%m%d}-")
    edit = add_rule(files, home, ruleset, rule, {"stage": "active"})
    _refuse_without_effect(loads(edit.over(files))[0], home.name, rule["id"], desk.now)
    return _finish(desk, files, edit, RuleEdit("grant", (rule["id"],), home.name, ruleset, {}, False, text=rule))


def _refuse_without_effect(policy: Policy, scope: str, rule: str, now: datetime) -> None:
    """Raises PolicyError (E-GRANT) for a grant that is over, that is hardly for a while, or that nobody enforces.

    A grant counts from when it is provisioned, so how long it lasts is asked of the clock, whatever `now` is.
    """
    written = homes(policy)[scope, rule]
    end = written.rule.expires
    assert end is not None
    if not now < end <= datetime.now(UTC) + _LONGEST:
        what = "has ended already" if end <= now else "would last for more than ten years"
        raise PolicyError("E-GRANT", f"a grant until {end:%Y-%m-%d %H:%MZ} {what}.", hint="Give it another end.")
    if written.stage not in ("active", "retiring"):
        raise PolicyError(
            "E-GRANT",
            f"ruleset {written.ruleset} of scope {scope} is {written.stage}: a grant in it would open nothing.",
            hint="Name an active one with --ruleset; one that does not exist is made.",
        )


def _written(peers: Any) -> Any:
    """Selectors as mappings where a mapping can say the same: that is how most rules are written."""
    if isinstance(peers, list):
        return [_written(peer) for peer in peers]
    if not isinstance(peers, str) or peers in ("scope", "all-workloads", "any"):
        return peers
    found = selectors.parse(peers).requirements
    if any(one.operator not in ("in", "exists") for one in found) or len({one.key for one in found}) < len(found):
        return peers
    return {one.key: _value(one) for one in found}


def _value(requirement: Requirement) -> str | list[str]:
    if requirement.operator == "exists":
        return "*"
    return requirement.values[0] if len(requirement.values) == 1 else list(requirement.values)


def stage_named(word: str) -> Stage | None:
    """Raises PolicyError (E-STAGE)."""
    found = next((stage for stage in STAGES if stage == word), None)
    if word and found is None:
        raise PolicyError("E-STAGE", f"{word!r} is not a stage.", hint=f"Valid: {', '.join(STAGES)}.")
    return found


def _taken(files: PolicyFiles, scope: str) -> list[str]:
    return [str(rule["id"]) for ruleset in files.scope(scope).rulesets for rule in ruleset.rules]


def _only_ruleset(files: PolicyFiles, scope: str) -> str:
    found = [item.name for item in files.scope(scope).rulesets if item.data.get("stage") != "retiring"]
    if len(found) == 1:
        return found[0]
    names = ", ".join(found) or "none"
    raise PolicyError(
        "E-RULESET", f"scope {scope} has {len(found)} rulesets ({names}).", hint="Name one with --ruleset."
    )


def _end(now: datetime, lasting: str) -> str:
    """The end in UTC, at a whole minute that is not before what was asked for."""
    found = _DURATION.match(lasting)
    parts = {key: int(value) for key, value in found.groupdict().items() if value} if found else {}
    length = timedelta(**parts)
    if not length or length > _LONGEST:
        raise PolicyError("E-GRANT", f"{lasting!r} is not a duration.", hint="Write PT4H, PT30M, P1D or P2W.")
    end = (now + length).astimezone(UTC) + timedelta(seconds=59)
    return end.strftime("%Y-%m-%dT%H:%M:00Z")


def _finish(desk: Desk, files: PolicyFiles, edit: Edit, report: RuleEdit) -> RuleEdit:
    """Judge the changed policy, and write it unless that is refused. Raises Rejected, with nothing written."""
    findings = _judged(desk, edit.over(files), report, files)
    diff = {file: _diff(files.texts[file], text, file) for file, text in sorted(edit.texts.items())}
    if not desk.dry_run:
        write_files(desk.directory, files, edit)
    return replace(report, diff=diff, written=bool(diff) and not desk.dry_run, findings=findings)


def _judged(desk: Desk, texts: Mapping[str, str], report: RuleEdit, files: PolicyFiles) -> tuple[Finding, ...]:
    """What is said about the touched rules; errors that were not there before refuse the change."""
    policy, remarks = loads(texts)
    if desk.hosts is None:
        return ()
    after = _inputs(policy, remarks, desk)
    new = [finding for finding in after.errors if not _known(finding, files, desk)]
    if new:
        raise Rejected(tuple(new))
    lines = {
        (rule.place.file, rule.place.line)
        for scope in policy.scopes
        for ruleset in scope.rulesets
        for rule in ruleset.rules
        if rule.id in report.rules and scope.name == report.scope
    }
    return tuple(item for item in after.findings if (item.where.file, item.where.line) in lines)


def _inputs(policy: Policy, remarks: tuple[Finding, ...], desk: Desk) -> Inputs:
    assert desk.hosts is not None
    facts, about_facts = load_facts(desk.facts, policy, desk.now)
    hosts = desk.hosts(label_variables(policy), policy.settings.timezone)
    return join(policy, (*remarks, *about_facts), hosts, desk.now, facts)


def _known(finding: Finding, files: PolicyFiles, desk: Desk) -> bool:
    """Was this error there before? Lines move, so the message is compared."""
    try:
        before = _inputs(*loads(files.texts), desk).errors
    except Rejected as rejected:
        before = rejected.findings
    return any((one.code, one.message) == (finding.code, finding.message) for one in before)


def _diff(before: str, after: str, file: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{file}", f"b/{file}", lineterm="", n=2)
    return "\n".join(lines)


def write_files(directory: Path, files: PolicyFiles, edit: Edit) -> None:
    """Files that are there, all of them or none.

    Raises PolicyError (E-FILE) where somebody else changed a file meanwhile, StoreError where one cannot be written.
    """
    old: dict[Path, bytes] = {}
    new: dict[Path, bytes] = {}
    for file, text in edit.texts.items():
        path = (directory / file).resolve()
        old[path] = path.read_bytes()
        mark = _BYTE_ORDER_MARK if old[path].startswith(_BYTE_ORDER_MARK) else b""
        if old[path] != mark + files.texts[file].encode():
            raise PolicyError(
                "E-FILE", "the file was changed meanwhile. Nothing was written.", Place(file), "Run again."
            )
        new[path] = mark + text.encode()
    done: list[Path] = []
    try:
        for path, content in new.items():
            write_atomically(path, content, path.stat().st_mode & 0o777)
            done.append(path)
    except BaseException:  # an interrupt between two files would leave a rule in both of them or in none
        for path in done:
            write_atomically(path, old[path], path.stat().st_mode & 0o777)
        raise


__all__ = [
    "Desk",
    "Particulars",
    "RuleEdit",
    "add",
    "grant",
    "move",
    "remove",
    "remove_expired",
    "stage_named",
    "write_files",
]
