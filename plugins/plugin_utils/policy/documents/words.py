# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The words of policy documents: which keys there are, what kind of value each takes, and what it means.

These models decide structure only. What selectors, services, addresses and dates mean is read later, with the tables
they refer to at hand. The JSON Schema, the reference page and the hints of error messages all come from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ...model.estate import Mode
from ...model.policy import STAGES, Action, DocumentKind, PlanKind, Stage, Tier

#: Names become parts of identifiers on platforms (`RULE@SCOPE/RULESET`).
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$"
WORKLOAD_NAME = r"^\S+$"

Name = Annotated[str, Field(pattern=NAME, max_length=128)]
WorkloadName = Annotated[str, Field(pattern=WORKLOAD_NAME, max_length=253)]
#: `$shape` names a part of the published schema, see schema.py.
WrittenSelector = Annotated[Any, WithJsonSchema({"$shape": "Selector"})]
WrittenPeer = Annotated[Any, WithJsonSchema({"$shape": "Peer"})]
WrittenPeers = Annotated[Any, WithJsonSchema({"$shape": "Peers"})]
WrittenTarget = Annotated[Any, WithJsonSchema({"$shape": "Target"})]
WrittenBlock = Annotated[Any, WithJsonSchema({"$shape": "Block"})]
WrittenFact = Annotated[Any, WithJsonSchema({"$shape": "Fact"})]
WrittenMember = Annotated[Any, WithJsonSchema({"$shape": "Member"})]
WrittenText = Annotated[Any, WithJsonSchema({"type": ["string", "number"]})]
WrittenShare = Annotated[Any, WithJsonSchema({"type": ["string", "number"]})]


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "must have a value")
    return value


#: None stands for what is not said; an explicit null is an error.
Unsaid = BeforeValidator(_not_null)


class Words(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LabelWords(Words):
    """A label key that policy may use."""

    required: bool = Field(default=False, description="Every workload should have it; those without are listed.")
    values: list[WrittenText] = Field(default=[], description="The only values there are; empty means any value.")


class CriticalityWords(Words):
    """How much the workloads of a selector weigh in both risks of a plan."""

    match: WrittenSelector = Field(description="Which workloads.")
    weight: float = Field(gt=0, description="Weight; workloads that no entry matches weigh 1.")


class DependencyWords(Words):
    """Something hosts need, probed from them around every change."""

    to: WrittenPeer = Field(description="One peer.")
    services: list[str] = Field(min_length=1, description="What is probed there.")


class ApprovalWords(Words):
    """A kind of plan that needs no approval of its own, within a budget."""

    kinds: list[Literal["membership"]] = Field(min_length=1, description="Kinds of plans.")
    max_eps: int = Field(ge=0, description="Most enforcement points that such a plan may touch.")


class GrantWords(Words):
    """What a scope may say although it is not an estate scope."""

    scope: Name = Field(description="Name of the scope.")
    tiers: list[Tier] = Field(default=[], description="Tiers besides `application`.")
    actions: list[Action] = Field(default=[], description="`pass`.")
    peers: list[Literal["all-workloads"]] = Field(default=[], description="`all-workloads`.")


class WhenWords(Words):
    """Conditions of time."""

    schedule: str = Field(
        description="RFC 5545: `DTSTART;TZID=ZONE:TIME`, `RRULE:…` and `EXDATE:…`, one a line; without TZID in "
        "`settings.timezone`. Recurs daily, weekly, monthly or yearly."
    )
    duration: str = Field(description="How long a window stays open, as ISO 8601: `PT10H`, `P1D`, `PT1H30M`.")


class WaiverWords(Words):
    """A finding about the rule that is accepted for a while."""

    code: str = Field(pattern=r"^[EWI]-[A-Z0-9-]+$", description="Code of the finding.")
    reason: str = Field(min_length=1, description="Why it is accepted.")
    until: str = Field(description="A date or moment as in `expires`; from then on the finding is back.")


class EvidenceWords(Words):
    """What was observed when the rule was proposed. For readers: it changes no answer and no digest."""

    flows: int = Field(default=0, ge=0, description="Conversations.")
    pairs: int = Field(default=0, ge=0, description="Distinct pairs of workloads.")
    first_seen: str = Field(default="", description="When the first was seen.")
    last_seen: str = Field(default="", description="When the last was seen.")
    window: str = Field(default="", description="Length of the observation.")
    loss: float = Field(default=0.0, ge=0, le=1, description="Share of conversations that the sensors missed.")
    confidence: float = Field(default=0.0, ge=0, le=1, description="How sure the proposal is, 0 to 1.")
    maturity: str = Field(default="", description="`learning`, `stabilizing`, `stable` or `stale`.")


class SettingsWords(Words):
    """Settings of the estate; they stand in one place only."""

    labels: dict[str, LabelWords] = Field(default={}, description="Label keys that policy may use.")
    controllers: list[str] = Field(
        default=[],
        description="Single addresses from which hosts are managed; no policy can close `management_ports` to them.",
    )
    management_ports: list[str] = Field(
        default=["tcp/22", "tcp/5985-5986"],
        description="Services that every managed workload accepts from the controllers.",
    )
    criticality: list[CriticalityWords] = Field(default=[], description="Weights of workloads in risks.")
    dependencies: list[DependencyWords] = Field(default=[], description="What hosts need, probed around every change.")
    timezone: str = Field(default="UTC", description="IANA name; dates without an offset are meant there.")
    max_shrink: WrittenShare = Field(
        default="1%", description="Compile refuses when more workloads vanish than this: `1%`, or a fraction like 0.01."
    )
    standing_approvals: list[ApprovalWords] = Field(default=[], description="Plans approved in advance.")
    grants: list[GrantWords] = Field(default=[], description="What single scopes may say beyond their own.")
    user_groups: list[str] = Field(default=[], description="Groups of users that policy may name.")


class LabelRuleWords(Words):
    """Sets labels of inventory hosts for which every given condition holds."""

    set: dict[Any, WrittenText] = Field(min_length=1, description="Labels and values.")
    group: str = Field(default="", description="An inventory group.")
    when: str = Field(default="", description="A JMESPath expression over the variables of the host.")
    name: str = Field(default="", description="A regular expression that the whole name matches.")
    subnet: str = Field(default="", description="A block that holds one of its addresses.")
    source: str = Field(default="label-rule", description="Shown as the source of these labels.")


class WorkloadWords(Words):
    """A workload that the inventory does not know and that is not enforced on."""

    name: WorkloadName = Field(description="Its name, unique in the estate.")
    addresses: list[str] = Field(min_length=1, description="IPv4 and IPv6 addresses.")
    labels: dict[Any, WrittenFact] = Field(
        default={}, description="A value, or `{value, expires, source}`: such a fact holds until it expires."
    )
    zone: str = Field(default="", description="Zone of its addresses.")
    shared: bool = Field(default=False, description="Other workloads have the same addresses and say so too.")


class ServiceAddressWords(Words):
    """A virtual address in front of workloads: load balancer, VIP, published container port."""

    name: WorkloadName = Field(description="Its name, unique in the estate.")
    address: str = Field(description="The address that consumers open.")
    zone: str = Field(default="", description="Zone of the address.")
    ports: dict[Any, WrittenText] = Field(
        min_length=1, description="Port it listens on: port of the members, as in `tcp/443: tcp/8443`."
    )
    members: WrittenSelector = Field(description="Which workloads serve it.")
    source: Literal["preserved", "rewritten"] = Field(
        default="preserved", description="Whether members see the consumer's address."
    )


class ModeWords(Words):
    """What is enforced on workloads, per direction. Entries that disagree about a workload are an error."""

    match: WrittenTarget = Field(description="Which workloads.")
    mode: Annotated[Mode | None, Unsaid] = Field(default=None, description="Mode of both directions.")
    ingress: Annotated[Mode | None, Unsaid] = Field(default=None, description="Mode of incoming connections.")
    egress: Annotated[Mode | None, Unsaid] = Field(default=None, description="Mode of outgoing connections.")


class WriterWords(Words):
    """Who may change enforcement points. Of several matching entries the one with most conditions counts."""

    match: dict[Any, WrittenText] = Field(
        min_length=1, description="Parameters of the enforcement point: `platform`, `id`, `account`, …"
    )
    writer: Literal["driver", "terraform", "none"] = Field(description="Who writes.")
    stack: str = Field(default="", description="The Terraform stack, named when a driver refuses to write.")


class RuleWords(Words):
    """Consumers, providers, services and what becomes of such connections."""

    id: Name = Field(description="Unique in its scope.")
    from_: WrittenPeers = Field(alias="from", description="Consumers: who opens the connection.")
    to: WrittenPeers = Field(description="Providers: who serves it.")
    services: list[str] = Field(min_length=1, description="Services, by notation or name; `any` is said explicitly.")
    action: Action = Field(default="allow", description="In one tier pass beats deny beats allow, whatever the order.")
    reject: bool = Field(default=False, description="Only with deny: tell the sender instead of dropping silently.")
    reset_established: bool = Field(default=False, description="Only with deny: also end sessions that exist already.")
    log: bool = Field(default=False, description="Log what this rule decides.")
    expires: str = Field(
        default="",
        description="A date (ends with that day), or a date with time; without offset in `settings.timezone`.",
    )
    when: Annotated[WhenWords | None, Unsaid] = Field(default=None, description="When the rule counts; else always.")
    allow_empty: bool = Field(default=False, description="The rule may match no pair of workloads.")
    on_inexact: Literal["refuse", "narrow", "snapshot"] = Field(
        default="refuse", description="What a platform may do that cannot express the rule exactly."
    )
    reason: str = Field(default="", description="Why the rule exists.")
    owner: str = Field(default="", description="Who answers for it.")
    ticket: str = Field(default="", description="Where it was decided.")
    waivers: list[WaiverWords] = Field(default=[], description="Findings that are accepted for a while.")
    evidence: Annotated[EvidenceWords | None, Unsaid] = Field(
        default=None, description="What was observed when the rule was proposed."
    )


class RulesetWords(Words):
    """Rules with one tier and one stage."""

    name: Name = Field(description="Unique in its scope.")
    tier: Tier = Field(default="application", description="Tiers are evaluated in this order.")
    stage: Stage = Field(
        default="draft",
        description="`draft` is only checked, `staged` only logged, `active` and `retiring` are enforced.",
    )
    rules: list[RuleWords] = Field(default=[], description="Their order means nothing.")


class NeverWords(Words):
    """Packets that no policy may allow."""

    from_: WrittenPeers = Field(alias="from", description="Consumers.")
    to: WrittenPeers = Field(description="Providers.")
    services: list[str] = Field(default=["any"], min_length=1, description="Services.")


class ExceptWords(Words):
    """Packets that a guardrail does not speak about."""

    from_: WrittenPeers = Field(default=None, alias="from", description="Consumers.")
    to: WrittenPeers = Field(default=None, description="Providers.")
    services: list[str] = Field(default=[], description="Services.")


class GuardrailWords(Words):
    """A statement that must hold for every version of the policy. It is checked, never compiled."""

    id: Name = Field(description="Unique among guardrails.")
    never: NeverWords = Field(description="What must never be allowed.")
    except_: Annotated[ExceptWords | None, Unsaid] = Field(
        default=None, alias="except", description="What is not meant."
    )
    severity: Literal["critical", "high", "medium", "low"] = Field(default="high", description="Weight of a violation.")
    reason: str = Field(default="", description="Why it must hold.")


class PolicyTestWords(Words):
    """An expectation in a sentence: `CONSUMER -> PROVIDER SERVICE[, SERVICE]`, ends by name or address."""

    name: Name = Field(
        default="", description="Unique among tests, where there is one; stays when the sentence changes."
    )
    allow: str = Field(default="", description="Must be allowed, between all addresses of the two.")
    deny: str = Field(default="", description="Must be denied, between all addresses of the two.")
    because: str = Field(default="", description="Shown when the test fails.")
    at: str = Field(
        default="",
        description="The moment it is asked for; without offset in `settings.timezone`. Else the moment of the check.",
    )


class RoleWriteWords(Words):
    """What members of a role may change. Rules need scope, tier and stage, before and after the change."""

    scopes: list[Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9_.\-]*)$", max_length=128)]] = Field(
        default=[], description='Scopes whose rules they may write; `"*"` for every scope.'
    )
    tiers: list[Tier] = Field(default=["application"], description="Tiers of these rules.")
    stages: list[Stage] = Field(default=list(STAGES), description="Stages of these rules.")
    documents: list[DocumentKind] = Field(
        default=[], description="Other parts of the policy; `scopes` are names, borders and owners of scopes."
    )


class RoleProvisionWords(Words):
    """Plans that members of a role may make live."""

    kinds: list[PlanKind] = Field(min_length=1, description="Kinds of plans.")
    max_eps: Annotated[int | None, Unsaid] = Field(
        default=None, ge=0, description="Most enforcement points such a plan may touch; without it any number."
    )


class RoleWords(Words):
    """Who may do what. Without any role everybody may do everything."""

    name: Name = Field(description="Unique among roles; owners of scopes may name it.")
    members: list[WrittenMember] = Field(
        min_length=1,
        description="People: an e-mail address or login of the Git forge each, or a list of the names of one person.",
    )
    handle: str = Field(
        default="", pattern=r"^(@?[A-Za-z0-9][A-Za-z0-9_./\-]*)?$", description="Its name on the forge: `@org/team`."
    )
    write: RoleWriteWords = Field(default=RoleWriteWords(), description="What members may change.")
    provision: Annotated[RoleProvisionWords | None, Unsaid] = Field(
        default=None, description="Which plans members may make live; without it none."
    )
    own_changes: bool = Field(
        default=False, description="Members may approve and provision what they wrote themselves."
    )


class SharedWords(Words):
    """A document about the estate; several of these keys may stand in one document."""

    settings: SettingsWords = Field(default=SettingsWords(), description="Settings; once in all documents.")
    services: dict[Any, list[str]] = Field(default={}, description="Named services; they may name other services.")
    ip_lists: dict[Any, list[WrittenBlock]] = Field(default={}, description="Named blocks; lists may name other lists.")
    label_rules: list[LabelRuleWords] = Field(
        default=[], description="Labels from facts that the inventory already has."
    )
    workloads: list[WorkloadWords] = Field(default=[], description="Workloads that the inventory does not know.")
    service_addresses: list[ServiceAddressWords] = Field(default=[], description="Virtual addresses.")
    modes: list[ModeWords] = Field(default=[], description="What is enforced where; the default is `idle`.")
    writers: list[WriterWords] = Field(default=[], description="Who may change which enforcement points.")
    guardrails: list[GuardrailWords] = Field(default=[], description="Statements that must always hold.")
    tests: list[PolicyTestWords] = Field(default=[], description="Expectations run by every check.")
    roles: list[RoleWords] = Field(default=[], description="Who may write and provision what.")


class ScopeWords(Words):
    """A scope: the part of the estate a team owns, with its rulesets. It fills a document alone."""

    scope: Name = Field(description="Its name.")
    match: WrittenSelector = Field(description="Which workloads; `{}` with `estate: true` means all.")
    owners: list[str] = Field(default=[], description="Who approves changes.")
    approvers: list[str] = Field(
        default=[], description="Who approves rules of other scopes that speak about this one; else its owners."
    )
    estate: bool = Field(default=False, description="May speak about the whole estate.")
    rulesets: list[RulesetWords] = Field(default=[], description="Its rulesets.")
