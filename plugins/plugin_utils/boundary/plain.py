# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Values from Ansible as plain Python.

Ansible hands over tagged subclasses of str, dict and list, lazily templated containers and undecrypted vault texts.
Nothing of that goes further in: YAML writers, JMESPath and type checks of the engine know only the built-in types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any

from ansible._internal._datatag._tags import Origin
from ansible.parsing.vault import EncryptedString, VaultHelper

from ..model.errors import NOWHERE, EstateError, Place


class VaultedValueError(EstateError):
    """A value that was given encrypted would end up in files that everybody may read."""


def plain(value: Any, *, secrets: bool = False) -> Any:
    """The same value in built-in types. Dates become ISO text, tuples become lists.

    A value that is visibly vaulted raises VaultedValueError unless `secrets` are allowed. What JSON does not know
    raises TypeError: a set, bytes, an object. `nan` and infinity raise ValueError.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        raise TypeError(f"the enumeration {type(value).__name__} has no JSON form")
    if isinstance(value, (str, EncryptedString)):
        if not secrets and is_vaulted(value):
            raise VaultedValueError(
                "E-VAULTED",
                "the value is given as a vault secret, and would be stored in the clear.",
                place_of(value),
                "Labels, addresses and names are not secret; write the value without vault.",
            )
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        if number - number != 0:
            raise ValueError(f"{number} has no JSON form")
        return number
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_key(key): plain(item, secrets=secrets) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(item, secrets=secrets) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, (bool, int, float)) or key is None:
        raise TypeError(f"the key {key!r} is not text; put quotes around it")
    raise TypeError(f"a key of type {type(key).__name__} has no JSON form")


def is_vaulted(value: Any) -> bool:
    """Was exactly this text given as an inline vault value? A text that a template made of one does not tell."""
    return VaultHelper.get_ciphertext(value, with_tags=False) is not None


def place_of(value: Any) -> Place:
    """File and line the value was read from, as far as Ansible knows."""
    origin = Origin.get_tag(value)
    if origin is None or not origin.path:
        return NOWHERE
    return Place(str(origin.path), int(origin.line_num or 0))
