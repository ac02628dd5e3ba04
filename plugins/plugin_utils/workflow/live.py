# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What hosts answered, as states of enforcement points; the last answers are kept, so plans can be made offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from ..enforcement.driver import Decision, Packet, Reading
from ..enforcement.nftables.driver import Nftables
from ..enforcement.nftables.legacy import as_listed
from ..model.addresses import Family
from ..model.bundle import Bundle
from ..model.errors import StoreError
from ..model.forms import Form
from ..model.intervals import Intervals
from ..model.live import ABSENT, ControlPath, PointState
from ..orchestration.store import ANYTHING, Store

#: What `nftables_policy_info` returned for one workload, or {"unreachable": true, "msg": …} / {"failed": true, …}.
Answer = Mapping[str, Any]
_LATEST = "readings"


@dataclass(frozen=True)
class LiveEstate:
    """`readings` keep the drivers' own view for attribution; points that could not be read have none."""

    states: Mapping[str, PointState]
    readings: Mapping[str, Reading]

    def attribute(self, point: str, packet: Packet) -> Decision | None:
        """The live rule that decides a packet at a point."""
        reading = self.readings.get(point)
        return None if reading is None else Nftables.decide(reading.live, packet)


def understand(bundle: Bundle, answers: Mapping[str, Answer], at: datetime) -> LiveEstate:
    """`answers` by workload name. Workloads that were not asked are not in the result."""
    states: dict[str, PointState] = {}
    readings: dict[str, Reading] = {}
    for point, entry in bundle.points.items():
        answer = answers.get(entry.workload)
        if answer is None or entry.platform != "nftables":
            continue
        if not answer.get("hash"):
            states[point] = PointState(False, error=str(answer.get("msg") or "unreachable"))
            continue
        own = {"nftables": answer["listing"]} if answer.get("listing") else None
        others = [*(answer.get("foreign") or ()), *as_listed(answer.get("legacy") or ())]
        foreign = {"nftables": others} if others else None
        reading = Nftables.read(own, foreign, entry.own, at)
        readings[point] = reading
        states[point] = PointState(
            reachable=True,
            hash=str(answer["hash"]),
            form=reading.form,
            own_form=None if answer["hash"] == ABSENT else reading.own_form,
            record=answer.get("record"),
            reasons=reading.form.reasons,
            control_path=_control_path(answer.get("control_path")),
            times=reading.times,
            again=_again(own, foreign, entry.own) if reading.times or reading.times_untrusted is not None else None,
            windows_until=reading.windows_until,
            withheld=reading.withheld,
            times_untrusted=reading.times_untrusted,
        )
    return LiveEstate(states, readings)


def _again(own: Any, foreign: Any, addresses: Mapping[Family, Intervals]) -> Callable[..., tuple[Form, Form]]:
    """Reads the same listing at other moments, each once."""

    @cache
    def forms(moment: datetime, trusting: bool | None) -> tuple[Form, Form]:
        reading = Nftables.read(own, foreign, addresses, moment, trusting)
        return reading.own_form, reading.form

    return forms


def _control_path(seen: Mapping[str, Any] | None) -> ControlPath | None:
    if not seen:
        return None
    return ControlPath(str(seen["client_address"]), int(seen["server_port"]))


def keep_answers(store: Store, answers: Mapping[str, Answer], at: datetime) -> str:
    """Keep what the hosts answered; returns the digest. Merges with nothing: one reading is one moment."""
    data = {"format": 1, "at": at.isoformat(), "answers": {name: dict(answers[name]) for name in sorted(answers)}}
    digest = store.put_json(data)
    store.set_ref(_LATEST, digest, ANYTHING)
    return digest


def kept_answers(store: Store) -> tuple[datetime, Mapping[str, Answer]]:
    """The last reading and its moment. Raises StoreError (E-STORE-MISSING) when there never was one."""
    ref = store.ref(_LATEST)
    if ref is None:
        raise StoreError(
            "E-STORE-MISSING",
            "No live state was ever recorded here.",
            str(store.path),
            "Run the plan or drift playbook once, or name a file with recorded state.",
        )
    data = store.get_json(str(ref.value))
    return datetime.fromisoformat(data["at"]), data["answers"]


Attribute = Callable[[str, Packet], Decision | None]
