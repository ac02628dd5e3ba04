# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The variables of one host, evaluated one by one when somebody asks: what nobody refers to may be broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.template import Templar

from ..model.errors import NOWHERE, EstateError, Place
from .errors import one_line
from .plain import VaultedValueError, is_vaulted, place_of, plain

#: Keys by which Ansible itself says how a task went; an unreachable host brings objects there that have no JSON form.
_ABOUT_THE_TASK = frozenset({"deprecations", "exception", "warnings"})


class Variables:
    """`raw` are the variables as Ansible merged them; `templar` is shared by all hosts and evaluates in their context.

    Templates may also look at other hosts, through `hostvars`.
    """

    def __init__(self, host: str, raw: Mapping[str, Any], hostvars: Mapping[str, Any], templar: Templar) -> None:
        self.host = host
        self._raw = raw
        self._context = {**raw, "hostvars": hostvars}
        self._templar = templar

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def place(self, name: str) -> Place:
        return place_of(self._raw[name]) if name in self._raw else NOWHERE

    def get(self, name: str, *, secrets: bool = False) -> Any:
        """The value in built-in types, or None where the host has no such variable.

        Raises EstateError: E-INVENTORY-VARIABLE where it cannot be evaluated or has no JSON form, E-VAULTED where it
        holds a vault secret (also undecrypted) and `secrets` are not allowed.
        """
        if name not in self._raw:
            return None
        raw = self._raw[name]
        if raw is None:
            return None
        try:
            if not secrets:
                _refuse_vaulted(raw)
            self._templar.available_variables = self._context
            return plain(self._templar.template(raw), secrets=secrets)
        except VaultedValueError as error:
            message = f"{self.host}: {name}: {error.message}"
            place = error.where if str(error.where) else self.place(name)
            raise EstateError(error.code, message, place, error.hint) from None
        except (AnsibleError, TypeError, ValueError) as error:
            raise EstateError(
                "E-INVENTORY-VARIABLE",
                f"{self.host}: {name} cannot be used: {one_line(error)}",
                self.place(name),
                f"See it with: ansible -m debug -a var={name} {self.host}",
            ) from None

    def registered(self, name: str) -> dict[str, Any] | None:
        """The result a task registered, or None. Results are data from the host, never templates."""
        value = self._raw.get(name)
        if not isinstance(value, Mapping):
            return None
        result: dict[str, Any] = plain({key: value[key] for key in value if key not in _ABOUT_THE_TASK}, secrets=True)
        return result

    def fact(self, name: str) -> Any:
        """One gathered fact (`ansible_facts.NAME`), or None. Facts are data from the host, never templates."""
        facts = self._raw.get("ansible_facts")
        value = facts.get(name) if isinstance(facts, Mapping) else None
        return plain(value, secrets=True)


def _refuse_vaulted(raw: Any) -> None:
    """Before evaluation: after it, a secret that cannot be decrypted is only a failed template."""
    if isinstance(raw, Mapping):
        for item in raw.values():
            _refuse_vaulted(item)
    elif isinstance(raw, (list, tuple)):
        for item in raw:
            _refuse_vaulted(item)
    elif is_vaulted(raw):
        plain(raw)
