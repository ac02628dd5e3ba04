# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From texts to a policy: read, hold against the words, then read what it means with all names known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...model.allocation import allocating
from ...model.errors import Finding, Place, PolicyError
from ...model.policy import Policy
from . import nodes
from .digest import digest
from .estate_documents import read_label_rules, read_modes, read_service_addresses, read_workloads, read_writers
from .files import read_directory
from .moments import read_zone
from .nodes import Spot
from .peers import Context
from .problems import Problems
from .roles import read_roles
from .scopes import read_guardrails, read_scopes, read_tests
from .settings import check_grants, read_declarations, read_settings
from .structure import unusable, validated
from .tables import LabelTable, ListTable, ServiceTable
from .words import ScopeWords, SettingsWords, SharedWords

_SCOPE_KEYS = frozenset(name for name in ScopeWords.model_fields)
_SHARED_KEYS = frozenset(name for name in SharedWords.model_fields)
_UNREAD = frozenset({"E-YAML", "E-FILE", "E-SYMLINK"})
_LISTS = ("label_rules", "workloads", "service_addresses", "modes", "writers", "guardrails", "tests", "roles")


def load(directory: Path) -> tuple[Policy, tuple[Finding, ...]]:
    """The policy of a directory, and remarks about it.

    Raises Rejected with every error of every file, and PolicyError (E-FILE, E-NO-POLICY) for a directory that is none
    or holds no document: an empty policy closes everything, so it is never a guess.
    """
    return assemble(lambda problems: read_directory(Path(directory), problems), str(directory))


def assemble(read: Callable[[Problems], Iterable[tuple[str, str]]], where: str) -> tuple[Policy, tuple[Finding, ...]]:
    """The same from wherever `read` finds the files: it gives (name for places, text) and reports what it cannot."""
    problems = Problems()
    with allocating():
        written = _Written()
        for file, text in read(problems):
            written.add(file, text, problems)
        if not written.anything and not problems.errors:
            raise PolicyError(
                "E-NO-POLICY",
                f"{where} holds no policy document.",
                Place(where),
                "Policy documents end in .yml or .yaml; hidden files and folders are skipped.",
            )
        return _policy(written, problems)


def loads(texts: Mapping[str, str]) -> tuple[Policy, tuple[Finding, ...]]:
    """The same from texts by file name, without a directory. No text gives an empty policy."""
    problems = Problems()
    with allocating():
        written = _Written()
        for file, text in texts.items():
            written.add(file, text, problems)
        return _policy(written, problems)


@dataclass
class _Written:
    """Documents of all files, sorted by kind, with their places."""

    settings: list[tuple[SettingsWords, Spot]] = field(default_factory=list)
    services: list[tuple[Mapping[Any, Any], Spot]] = field(default_factory=list)
    ip_lists: list[tuple[Mapping[Any, Any], Spot]] = field(default_factory=list)
    scopes: list[tuple[ScopeWords, Spot]] = field(default_factory=list)
    lists: dict[str, list[tuple[Any, Spot]]] = field(default_factory=lambda: {name: [] for name in _LISTS})
    anything: bool = False

    def add(self, file: str, text: str, problems: Problems) -> None:
        for data, spot in nodes.documents(text, file, problems):
            self.anything = True
            if not isinstance(data, dict):
                unusable(problems, spot.place)
            elif _SCOPE_KEYS & data.keys():
                self._add_scope(data, spot, problems)
            else:
                self._add_shared(data, spot, problems)

    def _add_scope(self, data: dict[Any, Any], spot: Spot, problems: Problems) -> None:
        for key in _SHARED_KEYS & data.keys():
            problems.error(
                "E-KEY",
                f"{key!r} stands in the document of a scope.",
                spot.key(key).place,
                "A scope fills a document alone: put a line with --- between.",
            )
            del data[key]
        words = validated(ScopeWords, data, spot, problems)
        if words is not None:
            self.scopes.append((words, spot))

    def _add_shared(self, data: dict[Any, Any], spot: Spot, problems: Problems) -> None:
        words = validated(SharedWords, data, spot, problems)
        if words is None:
            return
        if "settings" in words.model_fields_set:
            self.settings.append((words.settings, spot["settings"]))
        if "services" in words.model_fields_set:
            self.services.append((words.services, spot["services"]))
        if "ip_lists" in words.model_fields_set:
            self.ip_lists.append((words.ip_lists, spot["ip_lists"]))
        for name, items in self.lists.items():
            if name in words.model_fields_set:
                items.extend(zip(getattr(words, name), spot[name], strict=False))


def _only_settings(written: list[tuple[SettingsWords, Spot]], problems: Problems) -> tuple[SettingsWords, Spot]:
    if not written:
        return SettingsWords(), nodes.nowhere()
    for _words, spot in written[1:]:
        problems.error(
            "E-SETTINGS-TWICE",
            f"settings stand twice (first at {written[0][1].place}).",
            spot.place,
            "Join them: the estate has one set of settings.",
        )
    return written[0]


def _policy(written: _Written, problems: Problems) -> tuple[Policy, tuple[Finding, ...]]:
    if any(error.code in _UNREAD for error in problems.errors):
        problems.give_up()  # what the unread part defines would be missed everywhere
    settings, place = _only_settings(written.settings, problems)
    labels = LabelTable(problems, read_declarations(settings, place, problems))
    zone = read_zone(settings.timezone, place["timezone"], problems)
    context = Context(problems, ServiceTable(problems), ListTable(problems), labels, zone, tuple(settings.user_groups))
    context.services.define(written.services)
    context.ip_lists.define(written.ip_lists)
    names: dict[str, Place] = {}
    scopes = read_scopes(written.scopes, context)
    check_grants(settings, place, [scope.name for scope in scopes], problems)
    policy = Policy(
        settings=read_settings(settings, place, zone, context),
        services=context.services.known,
        ip_lists=context.ip_lists.known,
        label_rules=read_label_rules(written.lists["label_rules"], context),
        workloads=read_workloads(written.lists["workloads"], names, context),
        service_addresses=read_service_addresses(written.lists["service_addresses"], names, context),
        modes=read_modes(written.lists["modes"], context),
        writers=read_writers(written.lists["writers"], problems),
        scopes=scopes,
        guardrails=read_guardrails(written.lists["guardrails"], context),
        tests=read_tests(written.lists["tests"], context),
        roles=read_roles(written.lists["roles"], [scope.name for scope in scopes], problems),
    )
    problems.give_up()
    return replace(policy, digest=digest(policy)), tuple(problems.remarks)
