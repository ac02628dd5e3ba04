# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""estate: what the inventory and the policy say about every workload."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..model.errors import Finding
from ..model.estate import Workload
from .inputs import Inputs


@dataclass(frozen=True)
class EstateReport:
    """`findings` are those of the whole input: documents, estate and rules."""

    workloads: tuple[Workload, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    def counts(self) -> dict[str, Any]:
        """Numbers a person checks first: is somebody missing, who is enforced, which labels are there?"""
        managed = [workload for workload in self.workloads if workload.managed]
        labels: dict[str, Counter[str]] = {}
        for workload in self.workloads:
            for key, fact in workload.labels.items():
                labels.setdefault(key, Counter())[fact.value] += 1
        return {
            "workloads": len(self.workloads),
            "managed": len(managed),
            "without_address": sum(not workload.addresses for workload in self.workloads),
            "enforcement_points": sum(len(workload.enforcement) for workload in managed),
            "modes": dict(Counter(f"{item.modes.ingress}/{item.modes.egress}" for item in managed).most_common()),
            "labels": {key: dict(values.most_common(20)) for key, values in sorted(labels.items())},
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": "ok" if self.ok else "findings",
            **self.counts(),
            "estate": [_workload(workload) for workload in self.workloads],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def estate(inputs: Inputs) -> EstateReport:
    return EstateReport(tuple(inputs.estate.workloads.values()), inputs.findings)


def _workload(workload: Workload) -> dict[str, Any]:
    return {
        "name": workload.name,
        "managed": workload.managed,
        "labels": {
            key: {
                "value": fact.value,
                "source": fact.source,
                "expires": fact.expires.isoformat() if fact.expires else None,
            }
            for key, fact in sorted(workload.labels.items())
        },
        "addresses": [str(address) for address in workload.addresses],
        "zone": workload.zone,
        "modes": {"ingress": workload.modes.ingress, "egress": workload.modes.egress},
        "enforcement": [
            {"id": point.id, "platform": point.platform, "writer": point.writer, "stack": point.stack}
            for point in workload.enforcement
        ],
        "file": workload.place.file,
        "line": workload.place.line,
    }
