# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The reference evaluator: the numbered sentences of the semantics, packet by packet, as plainly as they can be said.

It reads the raw documents and shares no code with the product, not even the parsers. It is slow on purpose.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from zoneinfo import ZoneInfo

from . import brute_schedule

TIERS = ("emergency", "admin", "infrastructure", "environment", "application", "baseline")
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58}
YES, UNKNOWN, NO = "yes", "unknown", "no"


# --- services -------------------------------------------------------------------------------------------------------


def service_point(text):
    """`tcp/443` -> ("tcp", 443); `icmp/8.0` -> ("icmp", 8, 0); `proto/47` -> ("proto", 47)."""
    protocol, _slash, rest = text.partition("/")
    if protocol in ("icmp", "icmpv6"):
        kind, _dot, code = rest.partition(".")
        return (protocol, int(kind), int(code or 0))
    return (protocol, int(rest))


def service_holds(term, point, services):
    if term in services:
        return any(service_holds(inner, point, services) for inner in services[term])
    if term == "any":
        return True
    protocol, _slash, rest = term.partition("/")
    if protocol != point[0]:
        return False
    if not rest:
        return True
    if protocol in ("icmp", "icmpv6"):
        kinds, _dot, codes = rest.partition(".")
        low, _dash, high = kinds.partition("-")
        if not int(low) <= point[1] <= int(high or low):
            return False
        if not codes:
            return True
        low, _dash, high = codes.partition("-")
        return int(low) <= point[2] <= int(high or low)
    low, _dash, high = rest.partition("-")
    return int(low) <= point[1] <= int(high or low)


# --- time -----------------------------------------------------------------------------------------------------------


def moment_of(value, timezone):
    """The first moment at which something with this end no longer counts (3.15)."""
    if isinstance(value, str):
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            value = dt.date.fromisoformat(value)
        else:
            value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=ZoneInfo(timezone))
    return dt.datetime.combine(value + dt.timedelta(days=1), dt.time(), ZoneInfo(timezone))


# --- labels and selectors -------------------------------------------------------------------------------------------


def requirements(selector):
    """Either written form -> [(key, operator, values)]."""
    if isinstance(selector, dict):
        result = []
        for key, value in selector.items():
            if value == "*":
                result.append((key, "exists", []))
            elif isinstance(value, list):
                result.append((key, "in", [str(item) for item in value]))
            else:
                result.append((key, "in", [str(value)]))
        return result
    result = []
    for term in map(str.strip, re.findall(r"(?:[^,(]|\([^)]*\))+", selector)):
        listed = re.fullmatch(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)", term)
        if listed:
            result.append((listed[1], listed[2], [item.strip() for item in listed[3].split(",")]))
        elif term.startswith("!"):
            result.append((term[1:].strip(), "absent", []))
        elif "!=" in term:
            key, value = term.split("!=")
            result.append((key.strip(), "notin", [value.strip()]))
        elif "=" in term:
            key, value = re.split("==?", term)
            result.append((key.strip(), "in", [value.strip()]))
        else:
            result.append((term, "exists", []))
    return result


def requirement_answer(requirement, labels, at):
    """Three-valued; `at` None means last known values (3.16)."""
    key, operator, values = requirement
    fact = labels.get(key)
    if fact is not None and at is not None and fact["expires"] is not None and at >= fact["expires"]:
        return UNKNOWN
    if operator == "exists":
        return YES if fact is not None else NO
    if operator == "absent":
        return YES if fact is None else NO
    inside = fact is not None and fact["value"] in values
    return YES if inside == (operator == "in") else NO


def selector_answer(wanted, labels, at):
    answers = [requirement_answer(requirement, labels, at) for requirement in wanted]
    if NO in answers:
        return NO
    return UNKNOWN if UNKNOWN in answers else YES


# --- the evaluator --------------------------------------------------------------------------------------------------


class BruteForce:
    """`documents`: policy documents as plain data. `workloads`: name -> {labels, addresses, zone?, managed?}.

    `facts`: as in a file of facts: {labels, groups, sessions}, every one with its own end.
    """

    def __init__(self, documents, workloads, facts=None):
        self.settings, self.services, self.lists = {}, {}, {}
        self.scopes, self.modes, self.service_addresses = [], [], []
        everyone = dict(workloads)
        for document in documents:
            self.settings = document.get("settings", self.settings)
            self.services.update(document.get("services", {}))
            self.lists.update(document.get("ip_lists", {}))
            self.modes.extend(document.get("modes", []))
            self.service_addresses.extend(document.get("service_addresses", []))
            for item in document.get("workloads", []):
                everyone[item["name"]] = {**item, "managed": False}
            if "scope" in document:
                self.scopes.append(document)
        self.timezone = self.settings.get("timezone", "UTC")
        self.workloads = {}
        for name, item in everyone.items():
            zone = item.get("zone", "")
            self.workloads[name] = {
                "name": name,
                "managed": item.get("managed", True),
                "zone": zone,
                "enforces": item.get("enforces", ("ingress", "egress")),
                "addresses": [(zone, ipaddress.ip_address(text)) for text in item.get("addresses", [])],
                "labels": {key: self._fact(value) for key, value in item.get("labels", {}).items()},
            }
        self.facts = facts or {}
        self.known_until = self._known_until()
        for name, labels in self.facts.get("labels", {}).items():
            for key, value in labels.items():
                fact = self._fact(value)
                self.workloads[name]["labels"][key] = {**fact, "expires": fact["expires"] or self.known_until}
        for workload in self.workloads.values():
            workload["modes"] = self._modes(workload)
        self.controllers = [ipaddress.ip_address(text) for text in self.settings.get("controllers", [])]
        self.management = self.settings.get("management_ports", ["tcp/22", "tcp/5985-5986"])

    def _fact(self, value):
        if isinstance(value, dict):
            expires = value.get("expires")
            return {"value": str(value["value"]), "expires": expires and moment_of(expires, self.timezone)}
        return {"value": str(value), "expires": None}

    def _known_until(self):
        """The end of facts that have none of their own."""
        if "ttl" not in self.facts:
            return None
        told = brute_schedule.read("DTSTART:20000101T000000Z", self.facts["ttl"], "UTC")
        observed = moment_of(self.facts["observed"], self.timezone)
        return observed + dt.timedelta(days=told["days"], seconds=told["seconds"])

    def _modes(self, workload):
        modes = {"ingress": "idle", "egress": "idle"}
        if not workload["managed"]:
            return modes
        for rule in self.modes:
            match = rule["match"]
            if isinstance(match, dict) and set(match) == {"workload"}:
                hit = match["workload"] == workload["name"]
            else:
                hit = selector_answer(requirements(match), workload["labels"], None) == YES
            if hit:
                for direction in modes:
                    modes[direction] = rule.get(direction, rule.get("mode", modes[direction]))
        return modes

    # --- one element of a side --------------------------------------------------------------------------------------

    def inherited(self, selector, scope):
        own = requirements(selector)
        named = {key for key, _operator, _values in own}
        return own + [item for item in requirements(scope.get("match", {})) if item[0] not in named]

    def inside_scope(self, workload, scope):
        return workload is not None and (
            scope.get("estate", False)
            or selector_answer(requirements(scope.get("match", {})), workload["labels"], None) == YES
        )

    def blocks(self, peer, zone):
        """The (zone, network) pairs of an address peer."""
        if "cidr" in peer:
            return [(peer.get("zone", zone), ipaddress.ip_network(peer["cidr"]))]
        result = []
        for entry in self.lists[peer["ip_list"]]:
            if isinstance(entry, dict):
                result.append((entry.get("zone", zone), ipaddress.ip_network(entry["cidr"])))
            elif entry in self.lists:
                result.extend(self.blocks({"ip_list": entry}, zone))
            else:
                result.append((zone, ipaddress.ip_network(entry)))
        return result

    def holds(self, peer, scope, workload, address, zone, at):
        """Does this element hold the packet's end (a workload or nobody, at a zoned address)?"""
        if peer == "any":
            return YES
        if peer == "all-workloads":
            return YES if workload is not None else NO
        if peer == "scope":
            return YES if self.inside_scope(workload, scope) else NO
        if isinstance(peer, dict) and "workload" in peer:
            return YES if workload is not None and workload["name"] == peer["workload"] else NO
        if isinstance(peer, dict) and ("cidr" in peer or "ip_list" in peer):
            inside = any(
                where == address[0] and network.version == address[1].version and address[1] in network
                for where, network in self.blocks(peer, zone)
            )
            return YES if inside else NO
        if isinstance(peer, dict) and "fqdn" in peer:
            return NO
        if workload is None:
            return NO
        if isinstance(peer, dict) and "users" in peer:
            answers = [self.logged_in(group, workload, at) for group in peer["users"]]
            return YES if YES in answers else UNKNOWN if UNKNOWN in answers else NO
        return selector_answer(self.inherited(peer, scope), workload["labels"], at)

    def logged_in(self, group, workload, at):
        """Has a member of the group a session here? One that has ended is unknown, none at all is no (3.16)."""
        answer = NO
        for session in self.facts.get("sessions", []):
            here = session.get("workload") == workload["name"] or any(
                str(address) == session.get("address") for _zone, address in workload["addresses"]
            )
            if here and session["user"] in self.facts.get("groups", {}).get(group, []):
                until = moment_of(session["until"], self.timezone) if "until" in session else self.known_until
                if at < min(until, self.known_until):  # the membership is not known any longer either
                    return YES
                answer = UNKNOWN
        return answer

    @staticmethod
    def by_address(peer):
        return peer == "any" or (isinstance(peer, dict) and ("cidr" in peer or "ip_list" in peer))

    # --- one rule, one side -----------------------------------------------------------------------------------------

    def looks(self, rule, scope, direction, own, own_address, peer, peer_address, point, at):
        """Does this side look at the rule for this packet (3.4, 3.8, 3.9), in the three-valued sense of its action?"""
        if "expires" in rule and at >= moment_of(rule["expires"], self.timezone):
            return False
        if "when" in rule and not brute_schedule.open_at(rule["when"], self.timezone, at):
            return False
        action = rule.get("action", "allow")
        enough = (YES, UNKNOWN) if action == "deny" else (YES,)
        own_side, far_side = ("to", "from") if direction == "ingress" else ("from", "to")
        zone = own["zone"]

        def side(written):
            return written if isinstance(written, list) else [written]

        bound = any(
            self.holds(element, scope, own, own_address, zone, at) in enough
            and (not self.by_address(element) or self.inside_scope(own, scope))
            for element in side(rule[own_side])
        )
        if not bound:
            return False
        direct = any(service_holds(term, point, self.services) for term in rule["services"]) and any(
            self.holds(element, scope, peer, peer_address, zone, at) in enough for element in side(rule[far_side])
        )
        return direct or (
            direction == "egress"
            and peer is None
            and self._through_service_address(rule, scope, side(rule[far_side]), peer_address, point, at, enough)
        )

    def _through_service_address(self, rule, scope, far, address, point, at, enough):
        """A rule to the members also decides the consumer's egress to the service address (3.12)."""
        for item in self.service_addresses:
            if ipaddress.ip_address(item["address"]) != address[1]:
                continue
            for listening, target in item["ports"].items():
                if service_point(listening) != point:
                    continue
                if not any(service_holds(term, service_point(target), self.services) for term in rule["services"]):
                    continue
                for member in self.members(item):
                    if any(
                        not self.by_address(element) and self.holds(element, scope, member, None, "", at) in enough
                        for element in far
                    ):
                        return True
        return False

    def members(self, item):
        return [
            workload
            for workload in self.workloads.values()
            if selector_answer(requirements(item["members"]), workload["labels"], None) == YES
        ]

    # --- one side ---------------------------------------------------------------------------------------------------

    def side(self, direction, own, own_address, peer, peer_address, point, at, stage, failsafe=True, intent=False):
        """(verdict, decided by) of one side."""
        if own is None or not own["managed"]:
            return "allowed", "unenforced"
        mode = "full" if intent else own["modes"][direction] if direction in own["enforces"] else "idle"
        if mode in ("idle", "visibility"):
            return "allowed", "unenforced"
        if failsafe and self.failsafe(direction, own, peer, peer_address, point):
            return "allowed", "failsafe"
        stages = ("active", "retiring", "staged") if stage == "staged" else ("active", "retiring")
        for tier in TIERS:
            actions = set()
            for scope in self.scopes:
                for ruleset in scope.get("rulesets", []):
                    if ruleset.get("stage", "draft") not in stages or ruleset.get("tier", "application") != tier:
                        continue
                    for rule in ruleset["rules"]:
                        if self.looks(rule, scope, direction, own, own_address, peer, peer_address, point, at):
                            actions.add(rule.get("action", "allow"))
            if "pass" in actions:
                continue
            if "deny" in actions:
                return "denied", "rule"
            if "allow" in actions:
                return "allowed", "rule"
        return ("denied" if mode == "full" else "allowed"), "mode"

    def failsafe(self, direction, own, peer, peer_address, point):
        """3.6"""
        if peer is own or (peer is None and peer_address[1].is_loopback):
            return True
        managing = any(service_holds(term, point, self.services) for term in self.management)
        if direction == "ingress" and managing and peer_address[1] in self.controllers:
            return True
        if (
            direction == "egress"
            and managing
            and any(address in self.controllers for _zone, address in own["addresses"])
        ):
            return True
        if point in ((("udp", 67), ("udp", 547)) if direction == "egress" else (("udp", 68), ("udp", 546))):
            return True
        return (
            point == ("icmp", 3, 4)
            or point == ("proto", 2)
            or (point[0] == "icmpv6" and (point[1] in (2, 143) or 130 <= point[1] <= 137))
        )

    # --- one packet -------------------------------------------------------------------------------------------------

    def packet(self, consumer, source, provider, target, point, at, stage="active", failsafe=True, intent=False):
        """Verdict of one packet between two zoned addresses: {"verdict", "egress", "ingress", "one_sided"}."""
        if not failsafe and consumer is provider and consumer is not None:
            raise ValueError("a workload to itself is only ever allowed by the failsafe")
        egress = self.side("egress", consumer, source, provider, target, point, at, stage, failsafe, intent)
        ingress = self.side("ingress", provider, target, consumer, source, point, at, stage, failsafe, intent)
        return {
            "verdict": "allowed" if egress[0] == ingress[0] == "allowed" else "denied",
            "egress": egress[1],
            "ingress": ingress[1],
            "one_sided": "unenforced" in (egress[1], ingress[1]),
        }

    def connection(self, consumer, provider, service, at, family=None, stage="active", intent=False):
        """Answer by name or address, over all pairs of addresses: allowed, denied, mixed or unknown."""
        point = service_point(service)
        answers = {}
        for source_workload, source in self.ends(consumer, self.zone_of(provider)):
            for target_workload, target in self.ends(provider, self.zone_of(consumer)):
                if self.shared(source) and (source_workload is target_workload) != (consumer == provider):
                    continue
                if source[1].version != target[1].version or (family and source[1].version != family):
                    continue
                if (point[0] == "icmp" and source[1].version == 6) or (point[0] == "icmpv6" and source[1].version == 4):
                    continue
                for member, answer in self._answers(
                    source_workload, source, target_workload, target, point, at, stage, intent
                ):
                    answers.setdefault((source, target, member), []).append(answer)
        verdicts, first = set(), None
        for sharing in answers.values():
            first = first or sharing[0]
            found = {answer["verdict"] for answer in sharing}
            verdicts.add(found.pop() if len(found) == 1 else "unknown")
        return {**first, "verdict": verdicts.pop() if len(verdicts) == 1 else "mixed"}

    def _answers(self, consumer, source, provider, target, point, at, stage, intent):
        service = next(
            (item for item in self.service_addresses if ipaddress.ip_address(item["address"]) == target[1]), None
        )
        if service is None:
            answer = self.packet(consumer, source, provider, target, point, at, stage, intent=intent)
            if (
                provider is None
                and answer["egress"] == "mode"
                and self._perhaps_named(consumer, source, point, at, stage)
            ):
                answer["verdict"] = "unknown" if answer["verdict"] == "denied" else answer["verdict"]
            yield "", answer
            return
        egress = self.side("egress", consumer, source, None, target, point, at, stage, intent=intent)
        ports = {service_point(key): service_point(value) for key, value in service["ports"].items()}
        if point not in ports or not self.members(service):
            yield (
                "",
                {"verdict": "denied", "egress": egress[1], "ingress": "mode", "one_sided": egress[1] == "unenforced"},
            )
            return
        for member in self.members(service):
            alike = [pair for pair in member["addresses"] if pair[1].version == target[1].version]
            address = (alike or member["addresses"])[0]
            ingress = self.side("ingress", member, address, consumer, source, ports[point], at, stage, intent=intent)
            verdict = "allowed" if egress[0] == ingress[0] == "allowed" else "denied"
            if service.get("source") == "rewritten" and egress[0] == "allowed":
                seen = self.side("ingress", member, address, None, target, ports[point], at, stage, intent=intent)
                verdict = verdict if seen[0] == ingress[0] else "unknown"
            yield (
                member["name"],
                {
                    "verdict": verdict,
                    "egress": egress[1],
                    "ingress": ingress[1],
                    "one_sided": "unenforced" in (egress[1], ingress[1]),
                },
            )

    def _perhaps_named(self, consumer, source, point, at, stage):
        """Does an allow rule to a name bind this consumer and service? The name may be any outside address (3.14)."""
        stages = ("active", "retiring", "staged") if stage == "staged" else ("active", "retiring")
        for scope in self.scopes:
            for ruleset in scope.get("rulesets", []):
                for rule in ruleset["rules"] if ruleset.get("stage", "draft") in stages else []:
                    far = rule["to"] if isinstance(rule["to"], list) else [rule["to"]]
                    if any(isinstance(element, dict) and "fqdn" in element for element in far):
                        anywhere = {**rule, "to": "any"}
                        if self.looks(anywhere, scope, "egress", consumer, source, None, source, point, at):
                            return True
        return False

    def zone_of(self, text):
        """The zone in which an address written beside this end is meant (3.10)."""
        return self.workloads[text]["zone"] if text in self.workloads else ""

    def holders(self, pair):
        return [workload for workload in self.workloads.values() if pair in workload["addresses"]]

    def shared(self, pair):
        return len(self.holders(pair)) > 1

    def ends(self, text, zone):
        """(workload or None, zoned address) for a name or a written address; with all who share the address."""
        if text in self.workloads:
            own = self.workloads[text]
            return [
                (holder, pair)
                for pair in own["addresses"]
                for holder in sorted(self.holders(pair), key=lambda holder: holder is not own)
            ]
        for item in self.service_addresses:
            if item["name"] == text:
                return [(None, ("", ipaddress.ip_address(item["address"])))]
        address = ipaddress.ip_address(text)
        held = [(workload, (zone, address)) for workload in self.holders((zone, address))]
        if not held:  # not known in this zone; where exactly one zone knows it, that is the one
            known = {pair for workload in self.workloads.values() for pair in workload["addresses"]}
            known = [pair for pair in known if pair[1] == address]
            held = [(workload, known[0]) for workload in self.holders(known[0])] if len(known) == 1 else []
        return held or [(None, (zone, address))]
