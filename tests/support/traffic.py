# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Random flows between the addresses of a random estate and strangers, around the moments at which things end."""

from __future__ import annotations

import datetime as dt
import random

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.addresses import Address, parse_address
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.edges import Edges, edges_of
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.estate import Estate
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.flows import Flow, Observations
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import contains

from .policies import MOMENTS, POINTS

STRANGERS = [
    "203.0.113.9", "198.51.100.7", "10.0.0.77", "10.0.0.250", "127.0.0.1", "2001:db8:ffff::1", "2001:db8::77", "::1",
]  # fmt: skip
HOUR = dt.timedelta(hours=1)


def random_edges(estate: Estate, seed: int, count: int = 300, instant: bool = False) -> Edges:
    """`instant`: every flow was seen at one moment, so that no end falls into it."""
    chooser = random.Random(seed)
    known = [address for workload in estate.workloads.values() for address in workload.addresses]
    known += [service.address for service in estate.service_addresses]
    ends: list[Address] = [*known, *known, *(parse_address(text, zone) for text in STRANGERS for zone in ("", "lab"))]
    moments = [dt.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in MOMENTS]
    flows = []
    while len(flows) < count:
        consumer, provider = chooser.choice(ends), chooser.choice(ends)
        point = line.parse(chooser.choice(POINTS))[0][0]
        if consumer.family != provider.family or not contains(line.UNIVERSE[consumer.family], point):
            continue
        first = chooser.choice(moments) + chooser.randint(-3, 3) * HOUR
        last = first if instant else first + chooser.choice([0, 0, 1, 4, 24 * 40]) * HOUR
        disposition = chooser.choice(["allowed", "allowed", "dropped"])
        flows.append(Flow(consumer, provider, point, chooser.randint(1, 50), first, last, "s", disposition))
    span = [flow.first_seen for flow in flows] + [flow.last_seen for flow in flows]
    return edges_of(Observations(tuple(flows), min(span), max(span), ("w1",), ("w1", "w2"), 0.0, "random"))
