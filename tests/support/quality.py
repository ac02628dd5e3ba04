# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How good a recommendation is against known truth: precision and recall, on kinds of pairs and on pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import Intervals
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.authoring import PolicyFiles
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.compile import compile_policy
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.decide import Decider
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.ends import ends_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.recommend import Recommendation, changed_texts
from tests.semantics.fixtures import inputs_of

Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Quality:
    """Shares, 0 to 1. `pairs`: of workloads; `kinds`: of their groups; each with a service."""

    kinds_precision: float
    kinds_recall: float
    pairs_precision: float
    pairs_recall: float

    def __str__(self) -> str:
        return (
            f"kinds: precision {self.kinds_precision:.3f} recall {self.kinds_recall:.3f}; "
            f"pairs: precision {self.pairs_precision:.3f} recall {self.pairs_recall:.3f}"
        )


def allowed_by(found: Recommendation, documents: list[dict], hosts: dict, at) -> set[Triple]:  # type: ignore[no-untyped-def, type-arg]
    """(consumer, provider, service) that the proposals alone allow in full mode; a range of services is one."""
    files = {"known.yml": yaml.safe_dump_all(documents, sort_keys=False)}
    texts = {**files, **changed_texts(PolicyFiles(files), found)}
    staged = [document for text in texts.values() for document in yaml.safe_load_all(text)]
    for document in staged:
        for ruleset in document.get("rulesets", ()):
            ruleset["stage"] = "active"
    inputs = inputs_of(staged, hosts, at)
    decider = Decider(compile_policy(inputs.policy, inputs.estate), at, intent=True, failsafe=False)
    answers: set[Triple] = set()
    for source, target in permutations(inputs.estate.workloads.values(), 2):
        opened: Intervals = decider.allowed(next(ends_of(source)), next(ends_of(target)))
        answers |= {(source.name, target.name, service) for service in line.show(opened)}
    return answers


def measured(answers: set[Triple], truth: set[Triple], kind: Callable[[str], object]) -> Quality:
    kinds = {(kind(a), kind(b), service) for a, b, service in answers}
    true_kinds = {(kind(a), kind(b), service) for a, b, service in truth}
    return Quality(
        len(kinds & true_kinds) / len(kinds),
        len(kinds & true_kinds) / len(true_kinds),
        len(answers & truth) / len(answers),
        len(answers & truth) / len(truth),
    )
