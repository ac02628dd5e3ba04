# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options and results of lookups in built-in types."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

from .plain import plain


def options_of(lookup: LookupBase, variables: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Every option of the lookup as documented, defaults included."""
    lookup.set_options(var_options=variables, direct=given)
    return {str(name): plain(value) for name, value in lookup.get_options().items()}
