# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Packages that only some installations have."""

from __future__ import annotations

from importlib.util import find_spec

from ..model.errors import MicrosegError


def needed(package: str, extra: str) -> None:
    """Raises MicrosegError (E-EXTRA) where the package of an extra is not installed."""
    if find_spec(package) is None:
        raise MicrosegError(
            "E-EXTRA",
            f"this needs {package}, which is not installed.",
            hint=f"pip install 'bulkhead-microseg[{extra}]'.",
        )


__all__ = ["needed"]
