# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules edited in place: what was meant happens, and no other character of the file changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import PolicyError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.authoring import (
    PolicyFiles,
    add_rule,
    move_rule,
    remove_rules,
    rule_id,
)
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.authoring.files import documents_of

RULE = {"id": "new", "from": {"role": "a"}, "to": "any", "services": ["tcp/1"]}

R = "{id: r, from: any, to: scope, services: [any]}"
Q = "{id: q, from: any, to: scope, services: [any]}"

#: One rule in many hands, each with a comment of its own.
ITEMS = (
    lambda name, pad: f"{pad}# about {name}\n{pad}- {{id: {name}, from: {{role: web}}, to: any, services: [tcp/80]}}\n",
    lambda name, pad: (
        f"{pad}- id: {name}  # named\n{pad}  from: {{role: web}}\n{pad}  to: any\n{pad}  services: [tcp/80]\n"
    ),
    lambda name, pad: (
        f"{pad}- id: '{name}'\n{pad}  from:\n{pad}  - role: web\n{pad}  to: any\n\n"
        f"{pad}  services:\n{pad}    - tcp/80 # http\n"
    ),
    lambda name, pad: f"{pad}-\n{pad}  id: {name}\n{pad}  from: any\n{pad}  to: scope\n{pad}  services: [any]\n",
    lambda name, pad: (
        f"\n{pad}- reason: |\n{pad}    because # no comment\n{pad}    of {name}\n"
        f"{pad}  id: {name}\n{pad}  from: scope\n{pad}  to: any\n{pad}  services: [any]\n"
    ),
    lambda name, pad: f"{pad}- {{id: {name}, from: any,\n{pad}     to: scope, services: [any]}}   # ü {name}\n",
)


@st.composite
def texts(draw):
    """A file of one scope with rulesets in several styles; names of rules are unique."""
    pad = draw(st.sampled_from(["", "  ", "    "]))
    lines = ["# heading of the file", "services: {web: [tcp/80]}", "---", "scope: s  # the scope", "match: {app: shop}"]
    text = "\n".join(lines) + "\nrulesets:\n"
    number = 0
    for ruleset in range(draw(st.integers(1, 3))):
        name = f"set-{ruleset}"
        count = draw(st.integers(0, 4))
        style = (
            draw(st.sampled_from(["block", "flow", "missing"]))
            if count == 0
            else draw(st.sampled_from(["block", "flow"]))
        )
        inner = pad + "  "
        text += f"{pad}# ruleset {name}\n{pad}- name: {name}\n{inner}stage: active # on\n"
        if style == "missing":
            continue
        if style == "flow" or count == 0:
            items = ", ".join(
                f"{{id: r{number + index}, from: any, to: scope, services: [any]}}" for index in range(count)
            )
            text += f"{inner}rules: [{items}]  # in one line\n"
        else:
            step = draw(st.sampled_from(["", "  "]))
            text += f"{inner}rules:\n"
            for index in range(count):
                text += draw(st.sampled_from(ITEMS))(f"r{number + index}", inner + step)
        number += count
    text += draw(st.sampled_from(["", "# the end\n", "---\nscope: t\nmatch: {app: x}\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text if draw(st.booleans()) else text.rstrip("\n")


def rules_of(text):
    scope = next(data for data, _spot in documents_of(text, "a.yml") if "scope" in data)
    return {item["name"]: [rule["id"] for rule in item.get("rules") or []] for item in scope["rulesets"]}


def comments(text):
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


def same_but_for(before: str, after: str) -> tuple[str, str]:
    """What was cut out of the one text and put into the other, when everything around is the same."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return before[start : len(before) - end], after[start : len(after) - end]


@given(texts(), st.data())
def test_an_added_rule_leaves_the_rest_of_the_file_alone(text, data):
    files = PolicyFiles({"a.yml": text})
    name = data.draw(st.sampled_from([*rules_of(text), "fresh"]))
    new = {"stage": "active"} if name == "fresh" else None
    after = add_rule(files, files.scope("s"), name, RULE, new).texts["a.yml"]
    assert rules_of(after) == {**rules_of(text), name: [*rules_of(text).get(name, []), "new"]}
    cut, put = same_but_for(text, after)
    assert "id: new" in put
    assert cut.strip(" []\r\n") in ("", "# in one line"), cut
    assert comments(after) == comments(text)
    assert ("\r\n" in text) == ("\r\n" in after)
    assert after.count("\n") - after.count("\r\n") == text.count("\n") - text.count("\r\n") or "\r\n" not in text


@given(texts(), st.data())
def test_added_and_removed_again_is_the_same_data(text, data):
    files = PolicyFiles({"a.yml": text})
    name = data.draw(st.sampled_from(list(rules_of(text))))
    added = PolicyFiles(add_rule(files, files.scope("s"), name, RULE).over(files))
    after = remove_rules(added, [added.one_rule("new")]).texts["a.yml"]
    assert rules_of(after) == rules_of(text)
    assert after.count("#") == text.count("#")


@given(texts(), st.data())
def test_a_removed_rule_takes_only_its_own_comment_along(text, data):
    files = PolicyFiles({"a.yml": text})
    names = [name for names in rules_of(text).values() for name in names]
    if not names:
        return
    gone = set(data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)))
    after = remove_rules(files, [files.one_rule(name) for name in sorted(gone)]).texts["a.yml"]
    assert rules_of(after) == {
        key: [name for name in value if name not in gone] for key, value in rules_of(text).items()
    }
    for name in names:
        assert (f"# about {name}" in after.splitlines().__str__()) == (f"# about {name}" in text and name not in gone)
    assert after.count("# ruleset") == text.count("# ruleset")
    assert after.count("# in one line") == text.count("# in one line")
    assert after.count("# on") == text.count("# on")


@given(texts(), st.data())
def test_a_moved_rule_keeps_its_words_and_comments(text, data):
    files = PolicyFiles({"a.yml": text})
    homes = rules_of(text)
    movable = [(name, home) for home, names in homes.items() for name in names]
    if not movable or len(homes) < 2:
        return
    name, home = data.draw(st.sampled_from(movable))
    target = data.draw(st.sampled_from([other for other in homes if other != home]))
    edit = move_rule(files, files.one_rule(name), files.ruleset(files.scope("s"), target))
    after = edit.texts["a.yml"]
    expected = {key: [one for one in value if one != name] for key, value in homes.items()}
    assert rules_of(after) == {**expected, target: [*expected[target], name]}


def test_between_files_both_change_and_nothing_is_lost():
    one = f"scope: a\nmatch: {{app: a}}\nrulesets:\n- name: x\n  rules:\n  # why\n  - {R}\n"
    two = f"scope: b\nmatch: {{app: b}}\nrulesets:\n  - name: y\n    rules:\n      - {Q}\n"
    files = PolicyFiles({"1.yml": one, "2.yml": two})
    edit = move_rule(files, files.one_rule("r"), files.ruleset(files.scope("b"), "y"))
    assert edit.texts["1.yml"] == "scope: a\nmatch: {app: a}\nrulesets:\n- name: x\n  rules: []\n"
    assert edit.texts["2.yml"].endswith("      # why\n      - {id: r, from: any, to: scope, services: [any]}\n")


@pytest.mark.parametrize(
    "rulesets",
    [
        f"- name: x\n  rules: [{R}, # c\n    {Q}]\n",
        f"- name: x\n  rules:\n  - &one {R}\n- name: y\n  rules:\n  - *one\n",
        f"- name: x\n  rules:\n  - {R.replace('any', '&all any', 1)}\n  - {Q.replace('any', '*all', 1)}\n",
    ],
    ids=["comment between", "alias", "anchor of an alias"],
)
def test_what_cannot_be_edited_without_loss_is_refused(rulesets):
    files = PolicyFiles({"a.yml": f"scope: a\nmatch: {{app: a}}\nrulesets:\n{rulesets}"})
    places = files.rules_named("r")
    with pytest.raises(PolicyError) as error:
        remove_rules(files, places[-1:])
    assert error.value.code == "E-EDIT"


def test_known_and_unknown_names():
    files = PolicyFiles({"a.yml": f"scope: a\nmatch: {{app: a}}\nrulesets:\n- name: x\n  rules:\n  - {R}\n"})
    with pytest.raises(PolicyError, match="E-RULE-TWICE"):
        add_rule(files, files.scope("a"), "x", {**RULE, "id": "r"})
    with pytest.raises(PolicyError, match="E-RULESET"):
        add_rule(files, files.scope("a"), "nowhere", RULE)
    with pytest.raises(PolicyError, match="E-SCOPE"):
        files.scope("b")
    with pytest.raises(PolicyError, match="Did you mean r"):
        files.one_rule("rr")


def test_ids_are_readable_and_unique():
    rule = {"from": {"users": ["dba"]}, "to": [{"workload": "db-1"}, "any"], "services": ["tcp/22"]}
    assert rule_id(rule, []) == "dba-to-db-1-tcp-22"
    assert rule_id(rule, ["dba-to-db-1-tcp-22"]) == "dba-to-db-1-tcp-22-2"
    assert rule_id({**rule, "action": "deny"}, [], "x-") == "x-deny-dba-to-db-1-tcp-22"
