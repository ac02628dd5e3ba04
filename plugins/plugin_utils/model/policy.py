# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Policy as validated nouns: what the documents of DESIGN §4 say, typed and placed, before it meets an estate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from .addresses import Address, Prefix
from .errors import NOWHERE, Place
from .estate import Mode, ServiceAddress
from .intervals import Intervals
from .schedule import Schedule
from .selectors import Selector

Tier = Literal["emergency", "admin", "infrastructure", "environment", "application", "baseline"]
TIERS: tuple[Tier, ...] = ("emergency", "admin", "infrastructure", "environment", "application", "baseline")
Action = Literal["allow", "deny", "pass"]
Stage = Literal["draft", "staged", "active", "retiring"]
STAGES: tuple[Stage, ...] = ("draft", "staged", "active", "retiring")


@dataclass(frozen=True, slots=True)
class LabelPeer:
    """As written; the keys of the scope are inherited when the rule is resolved."""

    selector: Selector


@dataclass(frozen=True, slots=True)
class WorkloadPeer:
    name: str


@dataclass(frozen=True, slots=True)
class AddressPeer:
    """A `cidr` or the blocks of an `ip_list` (`name` is then the list)."""

    prefixes: tuple[Prefix, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class FqdnPeer:
    name: str


@dataclass(frozen=True, slots=True)
class UsersPeer:
    """Workloads on which a member of the group has a live session."""

    group: str


@dataclass(frozen=True, slots=True)
class ScopePeer:
    pass


@dataclass(frozen=True, slots=True)
class AllWorkloadsPeer:
    pass


@dataclass(frozen=True, slots=True)
class AnyPeer:
    pass


Peer = LabelPeer | WorkloadPeer | AddressPeer | FqdnPeer | UsersPeer | ScopePeer | AllWorkloadsPeer | AnyPeer


@dataclass(frozen=True, slots=True)
class Waiver:
    """A finding about a rule that somebody accepts, for a reason and until a moment."""

    code: str
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was observed when the rule was proposed: a record for readers, which no evaluator looks at.

    `window` as a person says it ("30 d"); `loss` and `confidence` are shares, 0 to 1.
    """

    flows: int = 0
    pairs: int = 0
    first_seen: str = ""
    last_seen: str = ""
    window: str = ""
    loss: float = 0.0
    confidence: float = 0.0
    maturity: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`services` is a set on the service line; `expires` an aware datetime, the rule counts strictly before it.

    `written_services` are the words that stand for it in the document: they tell a changed rule from a changed service.
    With a `schedule` the rule counts only in its windows.
    """

    id: str
    consumers: tuple[Peer, ...]
    providers: tuple[Peer, ...]
    services: Intervals
    action: Action = "allow"
    reject: bool = False
    reset_established: bool = False
    log: bool = False
    expires: datetime | None = None
    schedule: Schedule | None = None
    allow_empty: bool = False
    on_inexact: Literal["refuse", "narrow", "snapshot"] = "refuse"
    reason: str = ""
    owner: str = ""
    ticket: str = ""
    waivers: tuple[Waiver, ...] = ()
    evidence: Evidence | None = None
    written_services: tuple[str, ...] = ()
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Ruleset:
    name: str
    rules: tuple[Rule, ...]
    tier: Tier = "application"
    stage: Stage = "draft"
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Scope:
    """`estate` scopes see everything; `match` is then usually empty."""

    name: str
    match: Selector
    owners: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    estate: bool = False
    rulesets: tuple[Ruleset, ...] = ()
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Guardrail:
    """No packet of `services` minus the exceptions may go from consumers to providers, whatever the modes are."""

    id: str
    consumers: tuple[Peer, ...]
    providers: tuple[Peer, ...]
    services: Intervals
    except_services: Intervals = ()
    except_consumers: tuple[Peer, ...] = ()
    except_providers: tuple[Peer, ...] = ()
    severity: Literal["critical", "high", "medium", "low"] = "high"
    reason: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """`expect` must be the verdict of every packet of `services` between the two named ends.

    `at`: at this moment; None is the moment of the check.
    """

    expect: Literal["allowed", "denied"]
    consumer: str
    provider: str
    services: Intervals
    text: str
    because: str = ""
    place: Place = NOWHERE
    name: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LabelDeclaration:
    required: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CriticalityRule:
    match: Selector
    weight: float


@dataclass(frozen=True, slots=True)
class Dependency:
    """Probed from hosts around every change."""

    peer: Peer
    services: Intervals


@dataclass(frozen=True, slots=True)
class StandingApproval:
    kinds: tuple[str, ...]
    max_eps: int


@dataclass(frozen=True, slots=True)
class TierGrant:
    """Lets a scope that is not an estate scope use tiers above application, pass, or all-workloads."""

    scope: str
    tiers: tuple[Tier, ...] = ()
    actions: tuple[Action, ...] = ()
    peers: tuple[str, ...] = ()


DocumentKind = Literal[
    "settings",
    "services",
    "ip_lists",
    "label_rules",
    "workloads",
    "service_addresses",
    "modes",
    "writers",
    "guardrails",
    "tests",
    "roles",
    "scopes",
]
DOCUMENT_KINDS: tuple[DocumentKind, ...] = get_args(DocumentKind)
PlanKind = Literal["policy", "mode", "membership", "repair"]
#: In a role: every scope there is.
EVERY_SCOPE = "*"


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Plans that members of a role may make live; `max_eps` None sets no limit."""

    kinds: tuple[PlanKind, ...]
    max_eps: int | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """What its members may write and make live. A member is a person, with all e-mail addresses and logins of his.

    `scopes`, `tiers` and `stages` together say which rules, `documents` which other parts of the policy (`scopes` are
    names, borders and owners of scopes). `own_changes`: members may also approve and provision what they wrote.
    `handle` is what a Git forge calls the role.
    """

    name: str
    members: tuple[tuple[str, ...], ...]
    handle: str = ""
    scopes: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = ("application",)
    stages: tuple[Stage, ...] = STAGES
    documents: tuple[DocumentKind, ...] = ()
    provision: Provisioning | None = None
    own_changes: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Settings:
    labels: Mapping[str, LabelDeclaration] = field(default_factory=dict)
    controllers: tuple[Address, ...] = ()
    management_ports: Intervals = ()
    criticality: tuple[CriticalityRule, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    timezone: str = "UTC"
    max_shrink: float = 0.01
    standing_approvals: tuple[StandingApproval, ...] = ()
    grants: tuple[TierGrant, ...] = ()
    user_groups: tuple[str, ...] = ()
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Set labels where a group, a name pattern (regular expression), a subnet or a JMESPath expression matches."""

    set: Mapping[str, str]
    group: str = ""
    when: str = ""
    name: str = ""
    subnet: Prefix | None = None
    source: str = "label-rule"
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class WorkloadDocument:
    """A thing Ansible does not manage."""

    name: str
    addresses: tuple[Address, ...]
    labels: Mapping[str, Any] = field(default_factory=dict)  # str -> labels.Fact
    zone: str = ""
    shared: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class MatchTarget:
    """What `modes` and `writers` match on: labels, or one workload by name."""

    selector: Selector | None = None
    workload: str = ""


@dataclass(frozen=True, slots=True)
class ModeRule:
    match: MatchTarget
    ingress: Mode | None = None
    egress: Mode | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class WriterRule:
    """Matches enforcement points by platform and driver parameters (account, project …)."""

    match: tuple[tuple[str, str], ...]
    writer: Literal["driver", "terraform", "none"]
    stack: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True)
class Policy:
    """Everything the policy directory says. `digest` covers the parsed content, not its formatting or file names."""

    settings: Settings = field(default_factory=Settings)
    services: Mapping[str, Intervals] = field(default_factory=dict)
    ip_lists: Mapping[str, tuple[Prefix, ...]] = field(default_factory=dict)
    label_rules: tuple[LabelRule, ...] = ()
    workloads: tuple[WorkloadDocument, ...] = ()
    service_addresses: tuple[ServiceAddress, ...] = ()
    modes: tuple[ModeRule, ...] = ()
    writers: tuple[WriterRule, ...] = ()
    scopes: tuple[Scope, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    roles: tuple[Role, ...] = ()
    digest: str = ""
