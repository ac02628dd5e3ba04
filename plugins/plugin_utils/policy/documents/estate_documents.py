# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Documents about workloads and enforcement points: label rules, workloads, service addresses, modes, writers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...model.addresses import Prefix, parse_prefix
from ...model.errors import Place, PolicyError
from ...model.estate import ServiceAddress
from ...model.labels import Fact
from ...model.policy import LabelRule, ModeRule, WorkloadDocument, WriterRule
from ...model.services import PORT_PROTOCOLS, protocol_of
from .moments import read_end
from .nodes import Spot
from .peers import Context, label_text, read_selector, read_target
from .problems import Problems, nearest
from .settings import read_address, read_addresses
from .variables import named_variables
from .words import LabelRuleWords, ModeWords, ServiceAddressWords, WorkloadWords, WriterWords

_FACT_KEYS = ("value", "expires", "source")


def read_label_rules(written: Sequence[tuple[LabelRuleWords, Spot]], context: Context) -> tuple[LabelRule, ...]:
    return tuple(_read_label_rule(words, spot, context) for words, spot in written)


def _read_label_rule(words: LabelRuleWords, spot: Spot, context: Context) -> LabelRule:
    problems = context.problems
    labels = {}
    for key, value in words.set.items():
        with problems.collecting():
            labels[str(key)] = label_text(value, spot["set"][key])
            context.labels.check_pair(str(key), [labels[str(key)]], spot["set"])
    if not (words.group or words.when or words.name or words.subnet):
        problems.error(
            "E-LABEL-RULE",
            "a label rule without a condition would label every host.",
            spot.place,
            "Add group, when, name or subnet.",
        )
    if words.name:
        try:
            re.compile(words.name)
        except re.error as error:
            problems.error(
                "E-LABEL-RULE", f"{words.name!r} is not a regular expression: {error}.", spot["name"].place,
                "Write web-.* for names that begin with web-.",
            )  # fmt: skip
    if words.when:
        with problems.collecting():
            named_variables(words.when, spot["when"].place)
    subnet: Prefix | None = None
    if words.subnet:
        with problems.collecting():
            subnet = parse_prefix(words.subnet, None, spot["subnet"].place)
    return LabelRule(labels, words.group, words.when, words.name, subnet, words.source, spot.place)


def read_workloads(
    written: Sequence[tuple[WorkloadWords, Spot]], names: dict[str, Place], context: Context
) -> tuple[WorkloadDocument, ...]:
    """`names` holds what is taken, and gets the new ones."""
    workloads = []
    for words, spot in written:
        _take(words.name, spot, names, context.problems)
        labels = {}
        for key, value in words.labels.items():
            with context.problems.collecting():
                labels[str(key)] = fact = _read_fact(value, spot["labels"][key], context)
                context.labels.check_pair(str(key), [fact.value], spot["labels"])
        addresses = read_addresses(words.addresses, spot["addresses"], words.zone, context.problems)
        workloads.append(WorkloadDocument(words.name, addresses, labels, words.zone, words.shared, spot.place))
    return tuple(workloads)


def _read_fact(written: Any, spot: Spot, context: Context) -> Fact:
    if not isinstance(written, Mapping):
        return Fact(label_text(written, spot), "workloads")
    for key in written:
        if key not in _FACT_KEYS:
            hint = nearest(str(key), _FACT_KEYS)
            raise PolicyError("E-KEY", f"{key!r} is not a word of a label.", spot.key(key).place, hint)
    if "value" not in written:
        raise PolicyError("E-MISSING", "the label needs the key value.", spot.place, "Write {value: …, expires: …}.")
    for key in ("expires", "source"):
        if key in written and not isinstance(written[key], str):
            raise PolicyError("E-VALUE", f"{key} must be text.", spot[key].place, "Put quotes around it.")
    value = label_text(written["value"], spot["value"])
    expires = read_end(written["expires"], context.zone, spot["expires"]) if "expires" in written else None
    return Fact(value, written.get("source", "workloads"), expires)


def read_service_addresses(
    written: Sequence[tuple[ServiceAddressWords, Spot]], names: dict[str, Place], context: Context
) -> tuple[ServiceAddress, ...]:
    """`names` as in `read_workloads`: tests and explain name both."""
    documents = []
    for words, spot in written:
        _take(words.name, spot, names, context.problems)
        ports: dict[int, int] = {}
        for listens, serves in words.ports.items():
            with context.problems.collecting():
                here, there = _port(listens, spot["ports"].key(listens)), _port(serves, spot["ports"][listens])
                if protocol_of(here) != protocol_of(there):
                    raise PolicyError(
                        "E-SERVICE", f"{listens} to {serves} changes the protocol.", spot["ports"].key(listens).place,
                        "A port is forwarded to a port of the same protocol.",
                    )  # fmt: skip
                ports[here] = there
        address = read_address(words.address, spot["address"], words.zone, context.problems)
        with context.problems.collecting():
            members = read_selector(words.members, spot["members"], context)
            if address is not None:
                documents.append(
                    ServiceAddress(words.name, address, tuple(sorted(ports.items())), members, words.source, spot.place)
                )
    return tuple(documents)


def _port(text: Any, spot: Spot) -> int:
    """`tcp/443` as a point of the service line. Raises PolicyError (E-SERVICE)."""
    found = re.fullmatch(r"(tcp|udp|sctp)/(\d{1,5})", text) if isinstance(text, str) else None
    if not found or int(found[2]) > 65535:
        raise PolicyError(
            "E-SERVICE",
            f"{spot.written!r} is not one port.",
            spot.place,
            "Write tcp/443: tcp/8443, a line for each port.",
        )
    return PORT_PROTOCOLS.index(found[1]) * 0x10000 + int(found[2])


def _take(name: str, spot: Spot, names: dict[str, Place], problems: Problems) -> None:
    if name in names:
        problems.error(
            "E-WORKLOAD-TWICE",
            f"{name} stands twice among workloads and service_addresses (first at {names[name]}).",
            spot["name"].place,
            "Give one of them another name.",
        )
    names.setdefault(name, spot.place)


def read_modes(written: Sequence[tuple[ModeWords, Spot]], context: Context) -> tuple[ModeRule, ...]:
    rules = []
    for words, spot in written:
        said = [key for key in ("mode", "ingress", "egress") if spot.has(key)]
        if not said or (words.mode and len(said) > 1):
            context.problems.error(
                "E-MODE",
                "an entry says either mode, or ingress and egress."
                if said
                else "an entry needs mode, ingress or egress.",
                spot.place,
                "Write mode: full, or ingress: full, egress: visibility.",
            )
        with context.problems.collecting():
            target = read_target(words.match, spot["match"], context)
            rules.append(ModeRule(target, words.ingress or words.mode, words.egress or words.mode, spot.place))
    return tuple(rules)


def read_writers(written: Sequence[tuple[WriterWords, Spot]], problems: Problems) -> tuple[WriterRule, ...]:
    """Most conditions first, so that neither order nor file names decide which entry counts."""
    rules: dict[tuple[tuple[str, str], ...], WriterRule] = {}
    for words, spot in written:
        match = []
        for key, value in words.match.items():
            with problems.collecting():
                match.append((str(key), label_text(value, spot["match"][key])))
        rule = WriterRule(tuple(sorted(match)), words.writer, words.stack, spot.place)
        first = rules.setdefault(rule.match, rule)
        if (first.writer, first.stack) != (rule.writer, rule.stack):
            problems.error(
                "E-WRITER-TWICE",
                f"two entries with the same match name different writers (first at {first.place}).",
                spot.place,
                "Keep one of them.",
            )
    return tuple(sorted(rules.values(), key=lambda rule: (-len(rule.match), rule.match)))
