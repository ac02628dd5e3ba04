# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Proposals as policy: beside the rules there are, to be replayed, and in the files of the policy, to be read.

Proposed rules stand in a draft ruleset `learned` of their scope. A later run replaces such a draft. Once somebody sets
its stage it is approved: it stays as it is, and what is new goes into a ruleset of another name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ...model.policy import Policy, Ruleset, Scope
from ..authoring.edits import add_ruleset, remove_rulesets
from ..authoring.files import PolicyFiles
from ..authoring.splice import block_text
from ..documents import nodes
from ..documents.peers import Context
from ..documents.problems import Problems
from ..documents.scopes import read_scopes
from ..documents.tables import LabelTable, ListTable, ServiceTable
from ..documents.words import ScopeWords
from .homes import Homes

if TYPE_CHECKING:
    from .proposal import Recommendation
    from .rules import ProposedRule

RULESET = "learned"
FILE = "learned"
TESTS = "mined-tests"
_LEARNED = re.compile(rf"^{RULESET}(?:-\d+)?$")


@dataclass(frozen=True)
class Drafted:
    """Drafts of earlier runs, which a new run replaces: ruleset names by scope. `kept_ids` are those of all others."""

    replaced: Mapping[str, frozenset[str]] = field(default_factory=dict)
    kept_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    kept_names: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def free_name(self, scope: str) -> str:
        name, number = RULESET, 2
        while name in self.kept_names.get(scope, ()):
            name, number = f"{RULESET}-{number}", number + 1
        return name


def drafts_of(policy: Policy, scope: str = "") -> Drafted:
    """`scope`: drafts of other scopes stay."""
    replaced, ids, names = {}, {}, {}
    for one in policy.scopes:
        old = frozenset(item.name for item in one.rulesets if _is_draft(item) and scope in ("", one.name))
        kept = [item for item in one.rulesets if item.name not in old]
        if old:
            replaced[one.name] = old
        ids[one.name] = frozenset(rule.id for item in kept for rule in item.rules)
        names[one.name] = frozenset(item.name for item in kept)
    return Drafted(replaced, ids, names)


def _is_draft(ruleset: Ruleset) -> bool:
    """Of a run of recommend: by name and stage, and every rule still carries its evidence."""
    return (
        ruleset.stage == "draft"
        and bool(_LEARNED.match(ruleset.name))
        and all(rule.evidence is not None for rule in ruleset.rules)
    )


def ruleset_of(name: str, rules: Iterable[ProposedRule], stage: str = "draft") -> dict[str, Any]:
    return {"name": name, "stage": stage, "rules": [dict(rule.document) for rule in rules]}


def with_rules(
    policy: Policy,
    homes: Homes,
    rules: Iterable[ProposedRule],
    services: Mapping[str, list[str]],
    ip_lists: Mapping[str, list[Any]],
) -> Policy:
    """The policy with the proposed rules as staged ones, read as documents are read; only their rulesets are taken."""
    by_scope: dict[str, list[ProposedRule]] = {}
    for rule in rules:
        by_scope.setdefault(rule.scope, []).append(rule)
    documents: list[dict[str, Any]] = [{"services": dict(services)}, {"ip_lists": dict(ip_lists)}]
    documents += [
        {"scope": name, "match": {}, "estate": True, "rulesets": [ruleset_of(RULESET, some, "staged")]}
        for name, some in sorted(by_scope.items())
    ]
    problems = Problems()
    context = Context(
        problems,
        ServiceTable(problems, dict(policy.services)),
        ListTable(problems, dict(policy.ip_lists)),
        LabelTable(problems, policy.settings.labels),
        ZoneInfo(policy.settings.timezone),
    )
    text = "\n---\n".join(json.dumps(document, ensure_ascii=False) for document in documents)  # JSON is YAML
    (named, where), (listed, there), *written = nodes.documents(text, "", problems)
    context.services.define([(named["services"], where["services"])])
    context.ip_lists.define([(listed["ip_lists"], there["ip_lists"])])
    read = read_scopes([(ScopeWords.model_validate(data), spot) for data, spot in written], context)
    problems.give_up()
    new = {scope.name: scope.rulesets for scope in read}
    scopes = [_grown(scope, new.pop(scope.name, ())) for scope in policy.scopes]
    scopes += [replace(homes.scopes[name], rulesets=rulesets) for name, rulesets in sorted(new.items())]
    return replace(policy, scopes=tuple(scopes))


def _grown(scope: Scope, rulesets: tuple[Ruleset, ...]) -> Scope:
    return replace(scope, rulesets=(*scope.rulesets, *(replace(one, name="\0learned") for one in rulesets)))


def changed_texts(files: PolicyFiles, found: Recommendation, tests: Sequence[Mapping[str, str]] = ()) -> dict[str, str]:
    """New texts by file: of files that change, and of new ones. Raises PolicyError (E-EDIT)."""
    texts = dict(files.texts)
    by_scope: dict[str, list[ProposedRule]] = {}
    for rule in found.rules:
        by_scope.setdefault(rule.scope, []).append(rule)
    for name in sorted(found.drafts.replaced.keys() | by_scope.keys() - found.scopes.keys()):
        if name in found.drafts.replaced:
            current = PolicyFiles(texts)
            texts.update(remove_rulesets(current, current.scope(name), found.drafts.replaced[name]).texts)
        if name in by_scope:
            current = PolicyFiles(texts)
            value = ruleset_of(found.drafts.free_name(name), by_scope[name])
            texts.update(add_ruleset(current, current.scope(name), value).texts)
    documents: list[dict[str, Any]] = []
    if found.services:
        documents.append({"services": dict(found.services)})
    if found.ip_lists:
        documents.append({"ip_lists": dict(found.ip_lists)})
    documents += [
        {"scope": name, "match": match, "rulesets": [ruleset_of(RULESET, by_scope[name])]}
        for name, match in found.scopes.items()
    ]
    if documents:
        texts[_free_file(FILE, texts)] = "---\n".join(block_text(document) for document in documents)
    if tests:
        texts[_free_file(TESTS, texts)] = block_text({"tests": [dict(test) for test in tests]})
    return {file: text for file, text in sorted(texts.items()) if files.texts.get(file) != text}


def _free_file(plain: str, texts: Mapping[str, str]) -> str:
    name, number = f"{plain}.yml", 2
    while name in texts:
        name, number = f"{plain}-{number}.yml", number + 1
    return name


__all__ = ["RULESET", "Drafted", "changed_texts", "drafts_of", "ruleset_of", "with_rules"]
