# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Addresses: IPv4 and IPv6 as equal citizens, each inside a zone.

An address is (zone, family, number). The zone keeps overlapping private space apart; "" is the default zone.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from .errors import NOWHERE, EstateError, Place, PolicyError
from .intervals import Intervals

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)
FAMILY_NAMES: dict[int, str] = {4: "ipv4", 6: "ipv6"}
WHOLE_FAMILY: dict[int, Intervals] = {4: ((0, 2**32 - 1),), 6: ((0, 2**128 - 1),)}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    zone: str
    family: Family
    number: int

    def __str__(self) -> str:
        return show(self.family, self.number)


@dataclass(frozen=True, slots=True, order=True)
class Prefix:
    """A CIDR block. `zone` None means the zone of the enforcement point that evaluates (DESIGN §3.10)."""

    zone: str | None
    family: Family
    low: int
    high: int

    def holds(self, address: Address, evaluating_zone: str) -> bool:
        zone = evaluating_zone if self.zone is None else self.zone
        return address.family == self.family and address.zone == zone and self.low <= address.number <= self.high

    def __str__(self) -> str:
        text = ",".join(cidrs(self.family, ((self.low, self.high),)))
        return text if self.zone is None else f"{text} in zone {self.zone}"


def parse_address(text: str, zone: str = "", where: Place = NOWHERE) -> Address:
    """Raises EstateError (E-ADDRESS). IPv4-mapped IPv6 addresses are the IPv4 address they stand for."""
    try:
        parsed = ipaddress.ip_address(text.strip())
    except (ValueError, AttributeError):
        raise EstateError(
            "E-ADDRESS", f"{text!r} is not an IP address.", where, "Write 10.0.0.1 or 2001:db8::1."
        ) from None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id:
            raise EstateError("E-ADDRESS", f"{text!r} has an interface scope, which policy cannot use.", where)
        if parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
    return Address(zone, 4 if parsed.version == 4 else 6, int(parsed))


def parse_prefix(text: str, zone: str | None = None, where: Place = NOWHERE) -> Prefix:
    """A CIDR block or a single address. Host bits that are set are an error, not a guess (E-CIDR)."""
    try:
        network = ipaddress.ip_network(str(text).strip(), strict=True)
    except ValueError as error:
        hint = "Write 10.0.0.0/24, 2001:db8::/32 or one address."
        try:
            loose = ipaddress.ip_network(str(text).strip(), strict=False)
        except ValueError:
            pass
        else:
            hint = f"Host bits are set; did you mean {loose}?"
        raise PolicyError("E-CIDR", f"{text!r} is not an address block: {error}.", where, hint) from None
    family: Family = 4 if network.version == 4 else 6
    return Prefix(zone, family, int(network.network_address), int(network.broadcast_address))


def show(family: int, number: int) -> str:
    return str(ipaddress.IPv4Address(number) if family == 4 else ipaddress.IPv6Address(number))


def cidrs(family: int, intervals: Intervals) -> list[str]:
    """The shortest list of blocks that covers exactly the intervals; a single address is written without a length."""
    kind = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    full = 32 if family == 4 else 128
    result: list[str] = []
    for low, high in intervals:
        result.extend(
            str(network.network_address) if network.prefixlen == full else str(network)
            for network in ipaddress.summarize_address_range(kind(low), kind(high))
        )
    return result


def ranges(family: int, intervals: Intervals) -> list[str]:
    """`LOW-HIGH` texts, or one address; shorter than CIDR blocks where the intervals are not aligned."""
    return [
        show(family, low) if low == high else f"{show(family, low)}-{show(family, high)}" for low, high in intervals
    ]
