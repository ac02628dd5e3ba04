# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One inventory host as the engine sees it: the `microseg_*` variables of DESIGN §4, typed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ..model.errors import EstateError
from ..model.estate import DIRECTIONS, Direction, EnforcementPoint, InventoryHost
from ..model.facts import SESSION_PREFIX
from ..model.labels import Fact
from .host_addresses import zone_and_addresses
from .variables import Variables

#: What describes one host. The same names given for everybody by -e would make all hosts alike.
PER_HOST = frozenset(
    {
        "microseg_addresses",
        "microseg_enforcement",
        "microseg_id",
        "microseg_labels",
        "microseg_observed",
        "microseg_shared",
        "microseg_zone",
    }
)
#: Connections that no Linux machine is behind.
_NOT_LINUX = ("winrm", "psrp", "network_cli", "netconf", "httpapi", "grpc", "restconf", "none")
_EP_KEYS = frozenset({"id", "platform", "directions"})


def workload_id(variables: Variables) -> str:
    """`microseg_id`, or the inventory name."""
    written = variables.get("microseg_id")
    if written is None:
        return variables.host
    if not isinstance(written, str) or not written.strip():
        raise _bad(variables, "microseg_id", "is not text")
    return written


def host_of(variables: Variables, groups: Iterable[str], wanted: Iterable[str], zone: ZoneInfo) -> InventoryHost:
    """Raises EstateError. `wanted` are the variables label rules refer to; `zone` is where a date ends."""
    name = workload_id(variables)
    network_zone, addresses = zone_and_addresses(variables)
    return InventoryHost(
        name=name,
        groups=tuple(groups),
        labels=_labels(variables, zone),
        addresses=addresses,
        zone=network_zone,
        shared=_shared(variables),
        enforcement=_enforcement(variables, name),
        variables={key: variables.get(key, secrets=True) for key in sorted(wanted) if key in variables},
        place=next(
            (place for key in sorted(PER_HOST) if str(place := variables.place(key))), variables.place("ansible_host")
        ),
    )


def _bad(variables: Variables, name: str, why: str, hint: str = "") -> EstateError:
    return EstateError("E-INVENTORY-VARIABLE", f"{variables.host}: {name} {why}.", variables.place(name), hint)


def _shared(variables: Variables) -> bool:
    written = variables.get("microseg_shared")
    if written is None or isinstance(written, bool):
        return bool(written)
    raise _bad(variables, "microseg_shared", f"is {written!r}, not true or false")


def _labels(variables: Variables, zone: ZoneInfo) -> dict[str, Fact]:
    written = variables.get("microseg_labels")
    if written is None:
        return {}
    if not isinstance(written, dict):
        raise _bad(variables, "microseg_labels", "is not a mapping", "Write {app: shop, role: web}.")
    sessions = [key for key in written if str(key).startswith(SESSION_PREFIX)]
    if sessions:
        hint = "Sessions of users come in a file of facts."
        raise _bad(variables, "microseg_labels", f"has the key {sessions[0]}, which is no label", hint)
    return {key: _fact(variables, key, value, zone) for key, value in written.items()}


def _fact(variables: Variables, key: str, written: Any, zone: ZoneInfo) -> Fact:
    hint = "Write a text, or {value: TEXT, expires: TIME, source: TEXT}."
    if not isinstance(written, dict):
        return Fact(_label_text(variables, key, written, hint))
    unknown = sorted(set(written) - {"value", "expires", "source"})
    source = written.get("source", "inventory")
    if unknown or "value" not in written or not isinstance(source, str):
        raise _bad(variables, "microseg_labels", f"cannot read the value of {key}", hint)
    expires = written.get("expires")
    return Fact(
        _label_text(variables, key, written["value"], hint),
        source,
        None if expires is None else _end(variables, key, expires, zone),
    )


def _label_text(variables: Variables, key: str, written: Any, hint: str) -> str:
    if isinstance(written, bool) or not isinstance(written, (str, int, float)) or written == "":
        raise _bad(variables, "microseg_labels", f"has {key}: {written!r}, which is not text", hint)
    return str(written)


def _end(variables: Variables, key: str, written: Any, zone: ZoneInfo) -> datetime:
    """A date ends with that day, a time without offset is meant in the same time zone (DESIGN §3.15)."""
    try:
        if len(str(written)) == len("2027-06-30"):
            day = date.fromisoformat(str(written))
            return datetime.combine(day + timedelta(days=1), time(), zone)
        end = datetime.fromisoformat(str(written))
    except OverflowError:
        why = f"has {key} with expires {written!r}, which is beyond the calendar"
        raise _bad(variables, "microseg_labels", why, "Leave expires out for what does not end.") from None
    except ValueError:
        raise _bad(variables, "microseg_labels", f"has {key} with expires {written!r}, which is not ISO 8601") from None
    return end if end.tzinfo is not None else end.replace(tzinfo=zone)


def _enforcement(variables: Variables, name: str) -> tuple[EnforcementPoint, ...]:
    written = variables.get("microseg_enforcement")
    if written is None:
        return (EnforcementPoint(name, "nftables"),) if _is_linux(variables) else ()
    if not isinstance(written, list):
        raise _bad(variables, "microseg_enforcement", "is not a list", "Write [{platform: nftables}].")
    return tuple(_point(variables, name, entry) for entry in written)


def _point(variables: Variables, name: str, entry: Any) -> EnforcementPoint:
    variable = "microseg_enforcement"
    hint = "Write {platform: nftables}, or {platform: aws, id: sg-1, account: TEXT}."
    if not isinstance(entry, dict) or not isinstance(entry.get("platform"), str):
        raise _bad(variables, variable, f"has the entry {entry!r}, which names no platform", hint)
    for key in ("writer", "stack"):
        if key in entry:
            raise _bad(variables, variable, f"says {key}", "The policy says who writes: use a writers document.")
    default = name if entry["platform"] == "nftables" else f"{name}/{entry['platform']}"
    point = entry.get("id", default)
    if not isinstance(point, str) or not point:
        raise _bad(variables, variable, f"has the id {point!r}, which is not text", hint)
    parameters = []
    for key, value in sorted(entry.items()):
        if key in _EP_KEYS:
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise _bad(variables, variable, f"has {key}: {value!r}, which is not text", hint)
        parameters.append((key, str(value)))
    return EnforcementPoint(
        id=point,
        platform=entry["platform"],
        directions=_directions(variables, entry.get("directions", list(DIRECTIONS))),
        parameters=tuple(parameters),
    )


def _directions(variables: Variables, written: Any) -> tuple[Direction, ...]:
    if isinstance(written, list) and written and all(item in DIRECTIONS for item in written):
        return tuple(direction for direction in DIRECTIONS if direction in written)
    raise _bad(
        variables, "microseg_enforcement", f"has directions {written!r}", "Write [ingress, egress] or one of them."
    )


def _is_linux(variables: Variables) -> bool:
    """As gathered; where nothing was gathered, unless the connection says that it cannot be."""
    system = variables.fact("system")
    if system is not None:
        return bool(system == "Linux")
    if variables.get("ansible_network_os") is not None:
        return False
    connection = variables.get("ansible_connection")
    return not isinstance(connection, str) or connection.rpartition(".")[2] not in _NOT_LINUX
