# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which rule of an artifact decides one packet (DESIGN §3.2, §3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from .addresses import Family
from .artifact import Artifact, ArtifactRule
from .estate import Direction, Mode
from .intervals import contains


@dataclass(frozen=True, slots=True)
class Decision:
    """`rule` None: no rule matches, the mode decides."""

    allowed: bool
    rule: ArtifactRule | None
    mode: Mode

    def __str__(self) -> str:
        if self.rule is not None:
            return f"{self.rule.action} by {self.rule.id} ({self.rule.tier})"
        return f"no rule matches, mode {self.mode}"


def decide(
    artifact: Artifact,
    direction: Direction,
    family: Family,
    own: int,
    peer: int,
    service: int,
    at: datetime,
    unsure: Callable[[ArtifactRule], bool] = lambda _rule: False,
) -> Decision:
    """The smallest rule among equals gets the blame; `pass` only ends its own tier. `unsure`: see `forms`."""
    policy = artifact.of(direction)
    if policy.mode in ("idle", "visibility"):
        return Decision(True, None, policy.mode)
    passed: set[str] = set()
    perhaps: set[str] = set()
    for rule in sorted(policy.rules, key=lambda rule: rule.order):
        doubtful = unsure(rule)
        if rule.action == "allow" and (doubtful or rule.tier in perhaps):
            continue
        if rule.tier in passed or not (doubtful or rule.valid(at)) or not contains(rule.services, service):
            continue
        if not _names(artifact, rule.peers, family, peer) or not _names(artifact, rule.own, family, own):
            continue
        if rule.action == "pass":
            (perhaps if doubtful else passed).add(rule.tier)
        else:
            return Decision(rule.action == "allow", rule, policy.mode)
    return Decision(policy.mode == "selective", None, policy.mode)


def _names(artifact: Artifact, sets: tuple[str, ...] | None, family: Family, number: int) -> bool:
    return sets is None or any(contains(artifact.sets[name].addresses.get(family, ()), number) for name in sets)
