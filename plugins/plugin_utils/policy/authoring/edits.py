# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Add, remove and move rules in the text of policy documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from yaml.nodes import MappingNode, SequenceNode

from ...model.errors import Place, PolicyError, Rejected
from .files import PolicyFiles, WrittenRuleset, WrittenScope, documents_of, entry
from .splice import Change, Splicer, applied


@dataclass(frozen=True)
class Edit:
    """`texts` holds the new text of every file that changes."""

    texts: Mapping[str, str]

    def over(self, files: PolicyFiles) -> dict[str, str]:
        """All texts of the policy as they would be."""
        return {**files.texts, **self.texts}


def add_rule(
    files: PolicyFiles, scope: WrittenScope, ruleset: str, rule: Mapping[str, Any], new: Mapping[str, Any] | None = None
) -> Edit:
    """Put a rule at the end of a ruleset. `new` are tier and stage for a ruleset that does not exist yet.

    Raises PolicyError: E-RULE-TWICE for a known id, E-RULESET for an unknown ruleset, E-EDIT.
    """
    twice = files.rules_named(str(rule["id"]), scope.name)
    if twice:
        home, position = twice[0]
        raise PolicyError(
            "E-RULE-TWICE",
            f"rule {rule['id']} is there already, in ruleset {home.name} of scope {scope.name}.",
            home.spot["rules"][position].place,
            "Give the new one another id.",
        )
    splicer = Splicer(files.texts[scope.file], scope.file)
    target = files.ruleset(scope, ruleset)
    data = deepcopy([one for one, _spot in files.documents(scope.file)])
    document = data[scope.document]
    if target is None:
        if new is None:
            names = ", ".join(item.name for item in scope.rulesets) or "none"
            raise PolicyError(
                "E-RULESET",
                f"scope {scope.name} has no ruleset {ruleset!r} (it has: {names}).",
                scope.spot.place,
                "Name one of them, or make it with --stage.",
            )
        value = {"name": ruleset, **new, "rules": [dict(rule)]}
        change = _append(splicer, scope.spot.node, "rulesets", value)
        document.setdefault("rulesets", [])
        document["rulesets"] = [*(document["rulesets"] or []), value]
    else:
        change = _append(splicer, target.spot.node, "rules", rule)
        item = document["rulesets"][target.position]
        item["rules"] = [*(item.get("rules") or []), dict(rule)]
    return Edit({scope.file: _checked(splicer, [change], data)})


def add_ruleset(files: PolicyFiles, scope: WrittenScope, value: Mapping[str, Any]) -> Edit:
    """Put a ruleset at the end of a scope. Raises PolicyError (E-EDIT)."""
    splicer = Splicer(files.texts[scope.file], scope.file)
    data = deepcopy([one for one, _spot in files.documents(scope.file)])
    document = data[scope.document]
    document["rulesets"] = [*(document.get("rulesets") or []), dict(value)]
    found = entry(scope.spot, "rulesets")
    if found is not None and isinstance(found[2], SequenceNode) and found[2].value and not found[2].flow_style:
        lines = splicer.item(value, found[2].start_mark.column, flow=False)
        change = splicer.insert_lines(found[2], lines)
    else:
        change = _append(splicer, scope.spot.node, "rulesets", value)
    return Edit({scope.file: _checked(splicer, [change], data)})


def remove_rulesets(files: PolicyFiles, scope: WrittenScope, names: Collection[str]) -> Edit:
    """Take rulesets out of a scope, each with the comments that belong to it. Raises PolicyError (E-EDIT)."""
    splicer = Splicer(files.texts[scope.file], scope.file)
    data = deepcopy([one for one, _spot in files.documents(scope.file)])
    document = data[scope.document]
    positions = {position for position, item in enumerate(document["rulesets"]) if item["name"] in names}
    document["rulesets"] = [item for item in document["rulesets"] if item["name"] not in names]
    found = entry(scope.spot, "rulesets")
    assert found is not None
    _mapping, key, items = found
    assert isinstance(items, SequenceNode)
    return Edit({scope.file: _checked(splicer, splicer.remove_items(key, items, positions), data)})


def remove_rules(files: PolicyFiles, rules: Iterable[tuple[WrittenRuleset, int]]) -> Edit:
    """Take rules out, each with the comments that belong to it. Raises PolicyError (E-EDIT)."""
    by_file: dict[str, dict[tuple[int, int], tuple[WrittenRuleset, set[int]]]] = {}
    for ruleset, position in rules:
        homes = by_file.setdefault(ruleset.file, {})
        homes.setdefault((ruleset.document, ruleset.position), (ruleset, set()))[1].add(position)
    texts = {}
    for file, homes in by_file.items():
        splicer = Splicer(files.texts[file], file)
        data = deepcopy([one for one, _spot in files.documents(file)])
        changes: list[Change] = []
        for (document, number), (ruleset, positions) in homes.items():
            changes += _removal(splicer, ruleset, positions)
            item = data[document]["rulesets"][number]
            item["rules"] = [rule for index, rule in enumerate(item["rules"]) if index not in positions]
        texts[file] = _checked(splicer, changes, data)
    return Edit(texts)


def move_rule(files: PolicyFiles, rule: tuple[WrittenRuleset, int], target: WrittenRuleset) -> Edit:
    """Move a rule with its comments to the end of another ruleset, in the same file or another.

    Raises PolicyError: E-RULESET where it stands there already, E-RULE-TWICE where its id is taken, E-EDIT.
    """
    source, position = rule
    written = source.rules[position]
    if (source.file, source.document, source.position) == (target.file, target.document, target.position):
        raise PolicyError(
            "E-RULESET", f"rule {written['id']} stands in ruleset {target.name} already.", target.spot.place
        )
    if source.scope != target.scope and files.rules_named(str(written["id"]), target.scope):
        raise PolicyError("E-RULE-TWICE", f"scope {target.scope} has a rule {written['id']}.", target.spot.place)
    out = Splicer(files.texts[source.file], source.file)
    into = Splicer(files.texts[target.file], target.file)
    removal = _removal(out, source, {position})
    insertion = _insertion(out, into, source, position, target)
    data = {file: deepcopy([one for one, _spot in files.documents(file)]) for file in {source.file, target.file}}
    left = data[source.file][source.document]["rulesets"][source.position]
    left["rules"] = [item for index, item in enumerate(left["rules"]) if index != position]
    right = data[target.file][target.document]["rulesets"][target.position]
    right["rules"] = [*(right.get("rules") or []), dict(written)]
    if source.file == target.file:
        return Edit({source.file: _checked(out, [insertion, *removal], data[source.file])})
    return Edit(
        {
            source.file: _checked(out, removal, data[source.file]),
            target.file: _checked(into, [insertion], data[target.file]),
        }
    )


def _insertion(out: Splicer, into: Splicer, source: WrittenRuleset, position: int, target: WrittenRuleset) -> Change:
    """As it is written where both lists are in lines of their own; else written anew."""
    there, here = entry(target.spot, "rules"), entry(source.spot, "rules")
    old = here[2] if here else None
    new = there[2] if there else None
    if (
        isinstance(old, SequenceNode)
        and isinstance(new, SequenceNode)
        and not old.flow_style
        and not new.flow_style
        and out.newline == into.newline
    ):
        return into.insert_lines(new, out.moved_item(old, position, new.start_mark.column))
    return _append(into, target.spot.node, "rules", source.rules[position])


def _append(splicer: Splicer, mapping: Any, key: str, value: Mapping[str, Any]) -> Change:
    assert isinstance(mapping, MappingNode)
    for key_node, value_node in mapping.value:
        if key_node.value == key:
            return splicer.append_item(mapping, key_node, value_node, value)
    return splicer.append_key(mapping, key, value)


def _removal(splicer: Splicer, ruleset: WrittenRuleset, positions: set[int]) -> list[Change]:
    found = entry(ruleset.spot, "rules")
    assert found is not None
    _mapping, key, items = found
    assert isinstance(items, SequenceNode)
    return splicer.remove_items(key, items, positions)


def _checked(splicer: Splicer, changes: Sequence[Change], expected: list[Any]) -> str:
    """The new text, once it is shown to say exactly what was meant. Raises PolicyError (E-EDIT)."""
    text = applied(splicer.text, changes)
    try:
        said = [data for data, _spot in documents_of(text, splicer.file)]
    except Rejected:  # what is left is no YAML: an anchor went, say, to which an alias elsewhere refers
        said = []
    if said != expected:
        raise PolicyError(
            "E-EDIT",
            "this file is written in a way that cannot be edited in place without changing something else.",
            Place(splicer.file),
            "Edit it by hand. Nothing was written.",
        )
    return text


__all__ = ["Edit", "add_rule", "add_ruleset", "move_rule", "remove_rules", "remove_rulesets"]
