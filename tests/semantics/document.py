# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The page docs/semantics.md: each sentence of the semantics, and the cases that hold the product to it.

`python -m tests.semantics.document > docs/semantics.md`
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.errors import MicrosegError
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import print_rule

from .fixtures import CASES, SHORTHAND

SECTIONS: Mapping[str, range] = {
    "Evaluation": range(1, 8),
    "Who may say what": range(8, 10),
    "Addresses": range(10, 15),
    "Facts and time": range(15, 18),
    "Enforcement points and checking": range(18, 23),
}
SENTENCES: Mapping[int, str] = {
    1: "A connection needs both ends: the consumer's egress and the provider's ingress must allow it. An end "
    "that enforces nothing allows, and the answer says `one_sided`.",
    2: "Tiers are asked in order. Inside a tier order means nothing: pass beats deny, deny beats allow. Deny and "
    "allow end the question; pass, or no match, hands it to the next tier.",
    3: "What no rule decides, the mode does: `full` denies, `selective` allows. `visibility` drops nothing "
    "whatever the rules say, and answers what `full` would do (`would`).",
    4: "One rule opens both ends: it is looked at where its `from` holds the consumer and where its `to` holds "
    "the provider.",
    5: "Every question has two answers: one by active rulesets, one by active and staged ones together. A draft "
    "counts in neither, a retiring ruleset in both.",
    6: "The failsafe is above every tier: management ports from the controllers, DHCP, path MTU, neighbour "
    "discovery, group membership, loopback, and a workload talking to itself. Only the settings change it.",
    7: "Replies and ICMP errors of an allowed connection pass. A new deny leaves running sessions alone unless "
    "the rule says `reset_established`. Cases of this sentence need a kernel: `tests/kernel`, `tests/lab`.",
    8: "A selector inherits the keys of its scope that it does not mention. At least one side of a rule must lie "
    "inside the scope; a side outside makes the rule extra-scope, which is a finding. `{}` is an error; "
    "`scope` is all of it.",
    9: "`any` and address peers bind only workloads inside the scope, except in estate scopes. `all-workloads`, "
    "`pass` and tiers other than `application` need an estate scope or a grant.",
    10: "IPv4 and IPv6 count alike. An address belongs to a zone, so the same number may exist twice; twice in "
    "one zone is an error unless both say `shared`, and sharers that differ make the answer `unknown`.",
    11: "Address peers match addresses, those of workloads too. Where the addresses of one workload are answered "
    "differently the answer is `mixed`; an allow-test needs all of them, a deny-test none.",
    12: "A service address stands for its members: a rule to the members opens the way to it, on ports it listens "
    "on. Where it rewrites the source nothing is claimed: `unknown`.",
    13: "`icmp` is IPv4 and `icmpv6` is IPv6. Groups are matched by address peers that hold them. Ports never "
    "imply ICMP; `any` is every protocol.",
    14: "Names stand only in `to` of an allow. They are compared as names and taken to lie outside the estate.",
    15: "Every answer is for a moment. A date without time ends with that day in the time zone of the settings.",
    16: "A fact past its end is unknown, which is not absent: no allow matches on it, every deny does. Scopes and "
    "modes keep the last known value.",
    17: "What only the clock changes is announced: plans list it as scheduled.",
    18: "All enforcement points of a workload filter its traffic; none may be narrower than the policy asks. With "
    "one kind of enforcement point there is nothing to ask yet.",
    19: "A rule that a platform cannot express exactly is refused, with a witness packet. `on_inexact` on the "
    "rule is the only way to something less. Cases: `tests/unit/enforcement`.",
    20: "An active rule that matches no pair at any moment is an error unless it says `allow_empty`; in a draft "
    "it is a warning. Unknown keys, values, services and lists are errors in every stage.",
    21: "Guardrails and policy tests judge intent, as if every managed end were in `full`. The failsafe violates "
    "no guardrail; `unknown` fails everything.",
    22: "Two policies can be compared without an inventory: over every combination of labels that one of them "
    "tells apart. Cases: `tests/unit/policy/test_difference.py`.",
}


OPENING = (
    "What a policy means, sentence by sentence, with the cases that the compiler, `microseg explain` and an "
    "independent brute-force evaluator have to answer alike (`tests/semantics`). A case stands under the first "
    "sentence it belongs to. Where a question names no family it was asked in every family both ends have."
)


def text() -> str:
    data = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return "\n".join(_page(data)) + "\n"


def _page(data: Mapping[str, Any]) -> Iterator[str]:
    yield "# Semantics"
    yield ""
    yield "<!-- Made from tests/semantics/cases.yml; changes here are lost. -->"
    yield ""
    yield from _paragraph(OPENING)
    yield ""
    yield "These workloads are in every case, in mode `full` unless the case says otherwise:"
    yield ""
    yield "```"
    for name, workload in data["common"]["workloads"].items():
        yield _workload(name, workload)
    yield "```"
    yield ""
    common = data["common"]
    lists = ", ".join(f"`{name}` is {_list(blocks)}" for name, blocks in common["ip_lists"].items())
    yield from _paragraph(
        f"The service `pg` is {_list(common['services']['pg'])}, `web` is {_list(common['services']['web'])}; the list "
        f"{lists}; the controller is {_list(common['settings']['controllers'])}. The scope `shop-prod` has the match "
        "`app=shop,env=prod`, the scope `estate` sees everything. Rules are in short form; their tier is `application` "
        "and their stage `active` where nothing else is said."
    )
    for section, numbers in SECTIONS.items():
        yield ""
        yield f"## {section}"
        for number in numbers:
            yield ""
            yield from _paragraph(f"**{number}.** {SENTENCES[number]}")
            cases = [case for case in data["cases"] if case["s"][0] == number]
            also = [f"`{case['id']}`" for case in data["cases"] if number in case["s"][1:]]
            if cases:
                yield ""
                yield "```"
                for position, case in enumerate(cases):
                    yield from ([""] if position else [])
                    yield from _case(case)
                yield "```"
            if also:
                yield ""
                yield from _paragraph(f"Also: {', '.join(also)}.")


def _case(case: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {case['id'].replace('-', ' ')}"
    for name, workload in case.get("workloads", {}).items():
        yield _workload(name, workload)
    if "modes" in case:
        yield f"modes: {', '.join(f'{name} {_mode(mode)}' for name, mode in case['modes'].items())}"
    for kind, value in case.get("facts", {}).items():
        yield f"facts: {kind} {_flow(value) if isinstance(value, dict | list) else value}"
    for written in case["policy"]:
        yield from _document(written)
    for question in case["ask"]:
        yield _question(*question)
    for code in case.get("errors", []):
        yield f"check: error {code}"
    for code in case.get("warnings", []):
        yield f"check: warning {code}"
    for test, outcome in case.get("tests", []):
        word, sentence = next(iter(test.items()))
        yield f"test {word} {sentence}: {outcome}"
    for name, outcome in case.get("guardrails", {}).items():
        yield f"guardrail {name}: {outcome}"


def _document(written: Mapping[str, Any]) -> Iterator[str]:
    for word, scope in SHORTHAND.items():
        if word in written:
            said = [written[key] for key in ("tier", "stage") if key in written]
            where = ", ".join([scope["scope"], *said])
            for rule in written[word]:
                extra = "".join(f", {key} {_scalar(rule[key])}" for key in ("expires", "allow_empty") if key in rule)
                if "when" in rule:
                    extra += f", in {rule['when']['schedule']} for {rule['when']['duration']}"
                yield f"[{where}] {rule['id']}: {_rule(rule)}{extra}"
            return
    for kind, value in written.items():
        for item in value if isinstance(value, list) else [value]:
            yield f"{kind}: {_flow(item)}"


def _rule(rule: Mapping[str, Any]) -> str:
    """As it is written where it has no short form: some cases are about exactly that."""
    try:
        return print_rule(rule)
    except MicrosegError:  # the case is about that: how it is refused stands below
        return _flow({key: rule[key] for key in ("action", "from", "to", "services") if key in rule})


def _question(sentence: str, answer: str, options: Mapping[str, Any] | None = None) -> str:
    said = dict(options or {})
    words = [said.pop(key) for key in ("family", "stage") if key in said]
    words += [f"at {said.pop('at')}"] if "at" in said else []
    words += [_decided(said.pop("by"))] if "by" in said else []
    words += ["one-sided" if said.pop("one_sided") else "both ends enforce"] if "one_sided" in said else []
    words += [f"would be {said.pop('would')} in full"] if "would" in said else []
    assert not said, f"no words for {sorted(said)}"
    return f"{sentence:38} {answer:8} {', '.join(words)}".rstrip()


def _decided(by: str) -> str:
    """`egress:rule ingress:mode` in words."""
    return ", ".join(part.replace(":", " by ").replace(" by unenforced", " not enforced") for part in by.split())


def _workload(name: str, workload: Mapping[str, Any]) -> str:
    parts = [f"{key}={_fact(value)}" for key, value in workload["labels"].items()]
    rest = [word for word in ("zone", "shared") if word in workload]
    extra = [f"zone {workload['zone']}" if word == "zone" else "shared" for word in rest]
    extra += ["unmanaged"] if workload.get("managed") is False else []
    return f"{name:8} {','.join(parts)}  {' '.join([*workload['addresses'], *extra])}"


def _fact(value: Any) -> str:
    return f"{value['value']} (until {value['expires']})" if isinstance(value, Mapping) else str(value)


def _mode(mode: Any) -> str:
    return mode if isinstance(mode, str) else "/".join(f"{way} {word}" for way, word in mode.items())


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _paragraph(words: str) -> list[str]:
    return textwrap.wrap(words, 118, break_long_words=False, break_on_hyphens=False)


def _list(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


if __name__ == "__main__":
    print(text(), end="")
