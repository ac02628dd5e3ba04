# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who may make a plan live: the roles of the policy, kept beside the plan, asked where a rollout begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model.policy import Policy, Provisioning, Role
from ..orchestration.planfile import Plan
from ..orchestration.store import ANYTHING, Store
from ..policy.permissions import may_provision as judge


def keep_roles(store: Store, plan: Plan, roles: Sequence[Role]) -> None:
    """Beside the plan, for the rollout reads no policy. Those that provision nothing too: they know who is who."""
    kept = [
        {
            "name": role.name,
            "members": [list(member) for member in role.members],
            "kinds": None if role.provision is None else list(role.provision.kinds),
            "max_eps": None if role.provision is None else role.provision.max_eps,
            "own_changes": role.own_changes,
        }
        for role in roles
    ]
    store.set_ref(f"roles/{plan.digest}", kept, ANYTHING)


def may_provision(policy: Policy, who: str, plan: Plan, change_author: str = "") -> None:
    """Raises PlanError (E-MAY-PROVISION, E-OWN-CHANGE). `who` "" is nobody in particular."""
    judge(policy, who, plan.body.kind, len(plan.body.points), author=change_author)


def refuse_provisioning(store: Store, plan: Plan, who: str, change_author: str) -> None:
    """The same by the roles that were kept with the plan; a plan from before there were roles has none."""
    ref = store.ref(f"roles/{plan.digest}")
    roles = tuple(_role(one) for one in (ref.value if ref else []))
    if roles:
        may_provision(Policy(roles=roles), who, plan, change_author)


def _role(data: dict[str, Any]) -> Role:
    return Role(
        name=data["name"],
        members=tuple(tuple(member) for member in data["members"]),
        provision=None if data["kinds"] is None else Provisioning(tuple(data["kinds"]), data["max_eps"]),
        own_changes=data["own_changes"],
    )
