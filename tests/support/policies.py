# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Random small estates and policies, valid by construction, as plain documents and hosts. Same seed, same result."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

LABELS = {"app": ["shop", "crm"], "role": ["web", "db", "job"], "env": ["prod", "dev"], "posture": ["ok", "bad"]}
#: Moments around which facts and rules end.
MOMENTS = ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]
ASKED_AT = ["2026-11-24T12:00:00Z", "2026-12-15T00:00:00Z", "2027-02-01T00:00:00Z"]
#: What conditions turn on: hours of weekdays, nights, ends of months, the two days on which clocks change.
SCHEDULES = [
    ("DTSTART;TZID=Europe/Berlin:20260105T080000\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "PT10H"),
    ("DTSTART:20260101T220000\nRRULE:FREQ=DAILY", "PT8H"),
    ("DTSTART;TZID=America/New_York:20260131T000000\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1", "P1D"),
    ("DTSTART;TZID=Europe/Berlin:20260301T023000\nRRULE:FREQ=DAILY\nEXDATE:20261215T013000Z", "PT1H30M"),
    ("DTSTART;TZID=Australia/Lord_Howe:20260104T014500\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "PT12H"),
    ("DTSTART:20261124T110000Z\nRRULE:FREQ=DAILY;COUNT=3", "PT2H"),
    ("DTSTART;TZID=Europe/Berlin:20261231T180000\nRRULE:FREQ=YEARLY", "P1DT6H"),
    ("DTSTART:20261201T000000Z", "P2W"),
]
GROUPS = ["dba", "ops"]
USERS = ["ann", "bob", "eve"]
SERVICES = [
    "tcp/22", "tcp/443", "tcp/5432", "tcp/5430-5440", "tcp/0-1023", "tcp", "udp/53", "udp/50-60", "udp", "sctp/7",
    "icmp/8", "icmp/3.4", "icmp/3.0-3", "icmp", "icmpv6/128", "icmpv6", "proto/47", "proto/40-60", "any", "pg", "mixed",
]  # fmt: skip
#: Service points worth asking about: the edges of everything above.
POINTS = [
    "tcp/0", "tcp/21", "tcp/22", "tcp/443", "tcp/1023", "tcp/1024", "tcp/5429", "tcp/5430", "tcp/5432", "tcp/5441",
    "tcp/5985", "tcp/65535", "udp/49", "udp/53", "udp/61", "udp/67", "udp/68", "udp/546", "udp/547", "sctp/7", "sctp/8",
    "icmp/8.0", "icmp/3.3", "icmp/3.4", "icmp/0.0", "icmpv6/128.0", "icmpv6/135.0", "icmpv6/1.0", "icmpv6/143.0",
    "proto/2", "proto/39", "proto/47", "proto/60", "proto/61",
]  # fmt: skip
PREFIXES = [
    "10.0.0.0/30",
    "10.0.0.0/24",
    "10.0.0.4/32",
    "2001:db8::/126",
    "2001:db8::5/128",
    "0.0.0.0/0",
    "::/0",
    "203.0.113.0/24",
]


@dataclass
class World:
    seed: int
    documents: list[dict[str, Any]] = field(default_factory=list)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] | None = None


def random_world(seed: int, hosts: int | None = None, kernel: bool = False, conditions: bool = False) -> World:
    """`kernel`: only what a set of real hosts can show: one zone, every host managed and with IPv4 and IPv6,
    nothing that ends, and no service addresses. `conditions`: rules with schedules and users, and a file of facts."""
    return _Maker(seed, hosts, kernel, conditions).make()


class _Maker:
    def __init__(self, seed: int, hosts: int | None, kernel: bool, conditions: bool) -> None:
        self.random = random.Random(seed)
        self.world = World(seed)
        self.count = hosts or self.random.randint(3, 7)
        self.kernel = kernel
        self.conditions = conditions
        expiring = [] if kernel else self.random.choice([[], ["posture"], ["posture"], ["posture", "env"]])
        self.expiring = set(expiring) | ({"posture"} if conditions else set())
        self.next_rule = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def make(self) -> World:
        self._hosts()
        documents = self.world.documents
        documents.append(
            {
                "settings": {
                    "labels": {key: {} for key in LABELS},
                    "timezone": self.random.choice(["UTC", "Europe/Berlin", "America/New_York"]),
                    "controllers": self.random.choice([["10.0.0.250"], ["10.0.0.250", "10.0.0.1"], ["2001:db8::1"]]),
                    **({"management_ports": ["tcp/22"]} if self.chance(0.5) else {}),
                    **({"user_groups": GROUPS} if self.conditions else {}),
                }
            }
        )
        documents.append({"services": {"pg": ["tcp/5432"], "mixed": ["pg", "udp/53", "icmp/8"]}})
        documents.append({"ip_lists": {"lan": ["10.0.0.0/29", "2001:db8::/125"], "office": ["203.0.113.0/24", "lan"]}})
        documents.append({"modes": self._modes()})
        if not self.kernel and self.chance(0.3):
            documents.append({"service_addresses": [self._service_address()]})
        documents.append(self._scope("estate", {}, True))
        if self.chance(0.8):
            documents.append(self._scope("shop-prod", {"app": "shop", "env": "prod"}, False))
        if self.chance(0.4):
            documents.append(
                self._scope("webs", self.random.choice([{"role": ["web", "job"]}, "role in (web,job)"]), False)
            )
        self.random.shuffle(documents)
        if self.conditions:
            self.world.facts = self._facts()
        return self.world

    def _facts(self) -> dict[str, Any]:
        """Posture of workloads that have none, and sessions; each with an end among the moments asked about."""
        items = [*self.world.hosts.items()]
        items += [(item["name"], item) for document in self.world.documents for item in document.get("workloads", [])]
        without = [name for name, item in items if "posture" not in item["labels"]]
        ends = [*MOMENTS, "2026-11-24T23:30:00Z", "2027-10-31T00:45:00Z"]
        sessions = []
        for name, item in items:
            for user in USERS:
                if self.chance(0.3):
                    zoned = {"zone": item["zone"]} if "zone" in item else {}
                    where = {"workload": name} if self.chance(0.7) else {"address": item["addresses"][0], **zoned}
                    until = {"until": self.random.choice(ends)} if self.chance(0.7) else {}
                    sessions.append({"user": user, **where, **until})
        return {
            "format": 1,
            "source": "random",
            "observed": "2026-11-24T08:00:00Z",
            "ttl": self.random.choice(["PT12H", "P1W", "P200D"]),
            "labels": {
                name: {
                    "posture": self.random.choice(["ok", "bad", {"value": "ok", "expires": self.random.choice(ends)}])
                }
                for name in without
                if self.chance(0.7)
            },
            "groups": {group: self.random.sample(USERS, self.random.choice([1, 2])) for group in GROUPS},
            "sessions": sessions,
        }

    def _hosts(self) -> None:
        unmanaged = []
        for index in range(1, self.count + 1):
            labels: dict[str, Any] = {}
            for key, values in LABELS.items():
                if self.chance(0.15):
                    continue
                value: Any = self.random.choice(values)
                if key in self.expiring and self.chance(0.4):
                    value = {"value": value, "expires": self.random.choice(MOMENTS)}
                labels[key] = value
            addresses = [f"10.0.0.{index}", f"2001:db8::{index}"]
            if not self.kernel:
                addresses = self.random.choice([addresses, addresses, addresses[:1], addresses[1:]])
            if not self.kernel and self.chance(0.2):
                addresses = [*addresses, f"10.0.1.{index}"]
            host: dict[str, Any] = {"labels": labels, "addresses": addresses}
            if not self.kernel and self.chance(0.1):
                host["zone"] = "lab"
            if not self.kernel and self.chance(0.15):
                unmanaged.append({"name": f"w{index}", **host})
            else:
                self.world.hosts[f"w{index}"] = host
        if unmanaged:
            self.world.documents.append({"workloads": unmanaged})

    def _modes(self) -> list[dict[str, Any]]:
        modes = []
        for name in self.world.hosts:
            weighted = ["full"] * 5 + ["selective"] * 2 + ["visibility", "idle"]
            if self.chance(0.6):
                modes.append({"match": {"workload": name}, "mode": self.random.choice(weighted)})
            else:
                modes.append(
                    {
                        "match": {"workload": name},
                        "ingress": self.random.choice(weighted),
                        "egress": self.random.choice(weighted),
                    }
                )
        return modes

    def _service_address(self) -> dict[str, Any]:
        return {
            "name": "lb",
            "address": self.random.choice(["10.0.0.100", "203.0.113.100"]),
            "ports": {"tcp/443": "tcp/5432", "udp/53": "udp/53"},
            "members": {"role": self.random.choice(LABELS["role"])},
        }

    def _scope(self, name: str, match: Any, estate: bool) -> dict[str, Any]:
        rulesets = []
        for number in range(self.random.randint(1, 3)):
            tier = "application"
            if estate:
                tiers = ["emergency", "admin", "infrastructure", "environment", "application", "baseline"]
                tier = self.random.choice(tiers)
            rulesets.append(
                {
                    "name": f"set-{number}",
                    "tier": tier,
                    "stage": self.random.choice(["active"] * 6 + ["staged", "retiring", "draft"]),
                    "rules": [self._rule(estate, match) for _ in range(self.random.randint(1, 4))],
                }
            )
        scope: dict[str, Any] = {"scope": name, "match": match, "owners": ["team"], "rulesets": rulesets}
        if estate:
            scope["estate"] = True
        if estate and self.conditions and self.chance(0.6):  # where all else is open, a deny is seen
            everything = {"id": "open", "from": "any", "to": "any", "services": ["any"]}
            rulesets.append({"name": "open", "tier": "baseline", "stage": "active", "rules": [everything]})
        return scope

    def _rule(self, estate: bool, match: Any) -> dict[str, Any]:
        action = self.random.choice(["allow"] * 6 + ["deny"] * 3 + (["pass"] * 2 if estate else []))
        self.next_rule += 1
        sides = [self._side(estate, action, provider) for provider in (False, True)]
        if not estate:
            inside = self.random.choice([0, 1])
            sides[inside] = self._inside_side(action, [key for key in LABELS if key not in match])
        rule = {
            "id": f"r{self.next_rule}",
            "from": sides[0],
            "to": sides[1],
            "services": self.random.sample(SERVICES, self.random.choice([1, 1, 2, 3])),
            "allow_empty": True,
        }
        if action != "allow" or self.chance(0.2):
            rule["action"] = action
        if action == "deny" and self.chance(0.3):
            rule["reject"] = True
        if not self.kernel and self.chance(0.15):
            rule["expires"] = self.random.choice(["2026-11-30", "2026-12-31", *MOMENTS])
        if self.conditions and self.chance(0.4):
            schedule, duration = self.random.choice(SCHEDULES)
            rule["when"] = {"schedule": schedule, "duration": duration}
        return rule

    def _inside_side(self, action: str, free: list[str]) -> Any:
        """Elements that lie inside the scope: its word, or selectors on keys its match does not mention."""
        element = self.random.choice(["scope", self._selector(action, free), self._selector(action, free)])
        return element if self.chance(0.7) else [element, self._selector(action, ["posture"])]

    def _side(self, estate: bool, action: str, provider: bool) -> Any:
        elements = [self._element(estate, action, provider) for _ in range(self.random.choice([1, 1, 1, 2]))]
        return elements[0] if len(elements) == 1 else elements

    def _element(self, estate: bool, action: str, provider: bool) -> Any:
        if self.conditions and not provider and action != "pass" and self.chance(0.3):
            return {"users": self.random.sample(GROUPS, self.random.choice([1, 1, 2]))}
        kind = self.random.random()
        if kind < 0.5:
            return self._selector(action, list(LABELS))
        if kind < 0.6:
            return "any"
        if kind < 0.7 and estate:
            return "all-workloads"
        if kind < 0.8:
            return {"cidr": self.random.choice(PREFIXES)}
        if kind < 0.87:
            return {"ip_list": self.random.choice(["lan", "office"])}
        if kind < 0.93 and self.world.hosts:
            return {"workload": self.random.choice(list(self.world.hosts))}
        if kind < 0.96 and provider and action == "allow" and not self.kernel:
            return {"fqdn": "api.example.com"}
        return "scope" if estate else {"role": self.random.choice(LABELS["role"])}

    def _selector(self, action: str, keys: list[str]) -> Any:
        usable = [key for key in keys if action != "pass" or key not in self.expiring]
        chosen = self.random.sample(usable, min(len(usable), self.random.choice([1, 1, 2])))
        if self.chance(0.6):
            return {
                key: self.random.choice([self.random.choice(LABELS[key]), list(LABELS[key]), "*"])
                if self.chance(0.4)
                else self.random.choice(LABELS[key])
                for key in chosen
            }
        terms = []
        for key in chosen:
            value = self.random.choice(LABELS[key])
            terms.append(
                self.random.choice(
                    [
                        f"{key}={value}",
                        f"{key}!={value}",
                        f"{key} notin ({value})",
                        f"!{key}",
                        key,
                        f"{key} in ({value})",
                    ]
                )
            )
        return ",".join(terms)
