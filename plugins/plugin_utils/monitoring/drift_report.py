# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A drift report as a report for people and machines."""

from __future__ import annotations

from collections.abc import Mapping

from .drift import UNTRUSTED, DriftBox, DriftReport, PointDrift
from .plan_report import covered
from .reports import Report, ReportFinding, Severity

_DRIFT_CODES: Mapping[str, tuple[str, Severity]] = {
    "wider": ("W-DRIFT-WIDER", "error"),
    "narrower": ("W-DRIFT-NARROWER", "warning"),
    "unknown": ("W-DRIFT-UNKNOWN", "warning"),
}
_VERBS = {"wider": "lets through", "narrower": "drops", "unknown": "cannot be judged for"}


def of_drift(report: DriftReport, following: tuple[str, ...] = ()) -> Report:
    """`following`: commands a person would run next."""
    findings = [finding for point in report.points for finding in _point_findings(point)]
    totals: dict[str, float] = dict(report.totals)
    subject = {"bundle": report.bundle[:8], "policy": report.policy[:8]}
    if report.verdicts is not None:
        totals.update({f"flows {name}": count for name, count in report.verdicts.counts.items()})
        subject["flows"] = covered(report.verdicts.observed)
        codes: dict[str, tuple[str, Severity]] = {
            "escaped": ("W-FLOW-ESCAPED", "error"),
            "misdropped": ("W-FLOW-MISDROPPED", "warning"),
        }
        findings.extend(
            ReportFinding(
                *codes[one.verdict],
                about=one.text,
                message=f"{one.text} was {'let through' if one.verdict == 'escaped' else 'dropped'} {one.count} times, "
                f"and is meant to be {'denied' if one.verdict == 'escaped' else 'allowed'}.",
                facts=(("last seen", one.last_seen),),
            )
            for one in report.verdicts.conversations
        )
    return Report(
        "drift", "Drift", report.outcome, report.at, subject, totals,
        tuple(point.point for point in report.points), tuple(findings), following,
    )  # fmt: skip


def _point_findings(point: PointDrift) -> list[ReportFinding]:
    if point.cause == "unread":
        return [
            ReportFinding(
                "W-DRIFT-UNREAD", "warning", point.point, f"{point.point} could not be read: {point.error}.",
                since=point.since, facts=tuple(("rule", reason) for reason in point.reasons),
            )
        ]  # fmt: skip
    found = [_box_finding(point, box) for box in point.boxes]
    if point.ending:
        found.append(
            ReportFinding(
                "W-WINDOWS-ENDING", "warning", point.point,
                f"{point.point} knows the windows of its schedules until {point.windows_until}; from then on what they "
                "open stays closed. Plan and enforce once, which extends them.",
            )
        )  # fmt: skip
    if point.boxes_total > len(point.boxes):
        more = point.boxes_total - len(point.boxes)
        found.append(ReportFinding("W-DRIFT-MORE", "info", point.point, f"{point.point} differs in {more} more ways."))
    return found


def _box_finding(point: PointDrift, box: DriftBox) -> ReportFinding:
    code, severity = _DRIFT_CODES[box.kind]
    arrow = f"{box.peers} -> {box.own}" if box.direction == "ingress" else f"{box.own} -> {box.peers}"
    when = f" {UNTRUSTED}" if point.untrusted else f" from {point.moment} on" if point.moment else ""
    return ReportFinding(
        code,
        severity,
        point.point,
        f"{point.point} {_VERBS[box.kind]} {arrow} {box.said}{when}.",
        box.place,
        point.since,
        (
            ("witness", box.witness),
            ("live rule", box.live_rule + (" (foreign)" if box.foreign and box.live_rule else "")),
            ("intended", box.intended),
            ("cause", point.cause),
            *(("unjudged rule", reason) for reason in point.reasons if box.kind == "unknown"),
        ),
    )
