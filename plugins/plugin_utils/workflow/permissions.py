# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""May an author make a change: two versions of the policy, judged by the roles of the first."""

from __future__ import annotations

from ..model.errors import Finding
from ..model.policy import Policy
from ..policy.changes import changes
from ..policy.permissions import judge_author
from .revisions import Source, read


def author_findings(before: Source, after: Policy, who: str) -> tuple[Finding, ...]:
    """Errors E-MAY-RULE and E-MAY-DOCUMENT, or W-NO-ROLES (info). Raises what reading the version before raises."""
    policy, _remarks = read(before)
    return judge_author(policy, changes(policy, after), who)
