# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The screen of a plan (DESIGN §10): what is newly denied and allowed, the risks, the steps, who is left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .screen import ROWS, WIDTH, Screen, plural, shortened

_HEADINGS = {"denied": "NEWLY DENIED", "allowed": "NEWLY ALLOWED", "unknown": "CANNOT BE JUDGED"}


def plan_screen(plan: dict[str, Any], enforce: str) -> str:
    """`plan` as the document in the store; `enforce` is the command that makes it live."""
    body, evidence = plan["body"], plan["evidence"]
    screen = Screen()
    digest = plan["digest"][:8]
    moved = f"+{evidence['gained']}, -{evidence['lost']}" if evidence["gained"] or evidence["lost"] else "+0"
    policy = body["policy"][:7]
    screen.line(f"PLAN {digest}  kind {body['kind']}  policy {policy}  estate {evidence['workloads']:,} ({moved})")
    screen.rows(
        [
            ("EPs", "change", "equal", "unknown", "other writer"),
            *(
                (platform, *(f"{numbers[key]:,}" for key in ("change", "equal", "unknown", "writer")))
                for platform, numbers in evidence["counts"].items()
            ),
        ]
    )
    for verdict, heading in _HEADINGS.items():
        chosen = [one for one in evidence["statements"] if one["verdict"] == verdict]
        if chosen:
            flows = _observed(evidence["observed"]) if verdict == "denied" else ""
            screen.line(f"{heading}   {plural(sum(one['pairs'] for one in chosen), 'pair')}", flows)
            _statements(screen, sorted(chosen, key=lambda one: (-one["flows"], -one["pairs"])))
    _facts(screen, body, evidence)
    cuts = sum(_cut(one) for one in evidence["statements"])
    if not body["points"]:
        screen.next("nothing to do")
    elif cuts:
        screen.next(f"fix the {plural(cuts, 'cut')}, or: {enforce}")
    else:
        screen.next(enforce)
    return screen.text()


def _observed(observed: dict[str, Any] | None) -> str:
    if observed is None:
        return "no flows were observed"
    coverage, loss = 100 * observed["coverage"], 100 * observed["loss"]
    return f"flows: {observed['window']}, coverage {coverage:.0f} %, loss {loss:.1f} %"


def _cut(statement: dict[str, Any]) -> bool:
    return bool(statement["verdict"] != "allowed" and statement["flows"])


def _statements(screen: Screen, statements: list[dict[str, Any]]) -> None:
    for one in statements[:ROWS]:
        mark = "!" if _cut(one) else " "
        ends = f"{mark} {one['from']['words']} -> {one['to']['words']}"
        flows = f"  {one['flows']:,} flows, last {one['last_seen'][:16]}  CUT" if _cut(one) else ""
        services = shortened(" ".join(one["services"]), 30) + flows
        if len(ends) + len(services) + 2 <= WIDTH:
            screen.line(ends, services)
        else:
            screen.line(ends)
            screen.line("", services)
        witness = one["witness"]
        consumer = f"{witness['consumer']} {witness['consumer_address']}".strip()
        provider = f"{witness['provider']} {witness['provider_address']}".strip()
        place = f" ({one['place']})" if one["place"] else ""
        screen.line(f"    {consumer} -> {provider} {witness['service']}  {one['why']}{place}")
    screen.more(len(statements))


def _facts(screen: Screen, body: dict[str, Any], evidence: dict[str, Any]) -> None:
    screen.line(f"RISK   security {_risk(evidence['security'])}    availability {_risk(evidence['availability'])}")
    steps = [sum(point["steps"][phase] != "none" for point in body["points"].values()) for phase in (0, 1)]
    waves = "/".join(str(len(wave)) for wave in evidence["waves"]) or "none"
    screen.line(f"STEPS  phase 1: {plural(steps[0], 'EP')}, phase 2: {steps[1]:,} (waves {waves})")
    for change in evidence["scheduled"][:5]:
        screen.line(f"LATER  {change['moment']}  {change['rule']} {change['event']}  {plural(change['points'], 'EP')}")
    if evidence["foreign"]:
        names = shortened(", ".join(evidence["foreign"]), 60)
        screen.line(f"FOREIGN  {plural(len(evidence['foreign']), 'EP')} with rules of others that drop too: {names}")
    if evidence["left_out"]:
        reasons = Counter(evidence["left_out"].values()).most_common(3)
        shown = "; ".join(f"{count:,} {shortened(reason, 40)}" for reason, count in reasons)
        screen.line(f"LEFT   {shown}")


def _risk(risk: dict[str, Any]) -> str:
    if risk["before"] is None or risk["after"] is None:
        return f"unknown{'' if risk['level'] == 'LOW' else ' ' + risk['level']}".replace("unknown UNKNOWN", "UNKNOWN")
    level = "" if risk["level"] == "LOW" else f" {risk['level']}"
    return f"{risk['before']:.4g} -> {risk['after']:.4g}{level}"
