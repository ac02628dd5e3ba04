# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Recommend: policy documents from observed edges, with evidence, and what the observation cannot show."""

from __future__ import annotations

from .documents import changed_texts
from .learning import Learning, parse_learning, read_learning
from .proposal import Recommendation, recommend
from .rules import ProposedRule

__all__ = [
    "Learning",
    "ProposedRule",
    "Recommendation",
    "changed_texts",
    "parse_learning",
    "read_learning",
    "recommend",
]
