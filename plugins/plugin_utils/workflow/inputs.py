# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Inputs of every verb: policy documents and estate, read and joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from ..model.allocation import allocating
from ..model.errors import Finding, Rejected
from ..model.estate import Estate, InventoryHost
from ..model.facts import NO_FACTS, Facts
from ..model.policy import Policy
from ..policy.check import check_rules
from ..policy.compile import Compiled, Stage, compile_policy
from ..policy.documents import label_variables
from ..policy.estate_builder import build_estate
from ..policy.facts_file import load_facts
from .revisions import AtRevision, Source, read

#: Gives the inventory hosts, told which of their variables label rules refer to and in which time zone dates end.
Hosts = Callable[[frozenset[str], str], Sequence[InventoryHost]]


@dataclass(frozen=True)
class Inputs:
    """`findings` are all of them, from documents, estate and rules; errors among them make the policy unusable."""

    policy: Policy
    estate: Estate
    at: datetime
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def usable(self) -> Inputs:
        """Raises Rejected where a finding is an error."""
        if self.errors:
            raise Rejected(self.findings)
        return self

    @cached_property
    def active(self) -> Compiled:
        return compile_policy(self.policy, self.estate, "active")

    @cached_property
    def staged(self) -> Compiled:
        return compile_policy(self.policy, self.estate, "staged")

    def compiled(self, stage: Stage) -> Compiled:
        return self.active if stage == "active" else self.staged


def load(source: Source, hosts: Hosts, at: datetime | None = None, facts: Sequence[Path] = ()) -> Inputs:
    """The policy of a directory, or of a git revision; the estate is that of today.

    Raises Rejected for documents or an estate that cannot be read at all; rule findings come back.
    """
    policy, document_findings = read(source)
    moment = at or datetime.now(UTC)
    known, fact_findings = load_facts(facts, policy, moment)
    found = hosts(label_variables(policy), policy.settings.timezone)
    return join(policy, (*document_findings, *fact_findings), found, moment, known)


def at_revision(now: Inputs, revision: str, directory: Path, hosts: Hosts, facts: Sequence[Path] = ()) -> Inputs:
    """The policy of a git revision for the estate of today. Roles are those of `now`: what one may today, not then.

    Raises what `load` raises.
    """
    then = load(AtRevision(revision, directory), hosts, now.at, facts)
    return replace(then, policy=replace(then.policy, roles=now.policy.roles))


def join(
    policy: Policy,
    document_findings: Sequence[Finding],
    hosts: Sequence[InventoryHost],
    at: datetime | None,
    facts: Facts = NO_FACTS,
) -> Inputs:
    moment = at or datetime.now(UTC)
    with allocating():
        estate, estate_findings = build_estate(policy, hosts, moment, facts)
        rule_findings = check_rules(policy, estate, moment)
    return Inputs(policy, estate, moment, (*document_findings, *estate_findings, *rule_findings))
