# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Live state that was recorded: by the last playbook that read the hosts, or in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model.errors import StoreError

if TYPE_CHECKING:
    from ..workflow.store import Store


def recorded(store: Store, file: Path | None) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """When or where it was read, and what every host answered, by workload.

    Raises StoreError: E-LIVE-FILE, or E-STORE-MISSING where the store has no reading.
    """
    from ..workflow.live import kept_answers

    if file is None:
        at, answers = kept_answers(store)
        return at.isoformat(timespec="seconds"), answers
    return _from_file(file)


def _from_file(file: Path) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """As the store keeps it, or the answers alone."""
    try:
        data = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise StoreError("E-LIVE-FILE", f"the file cannot be read: {error.strerror}.", str(file)) from None
    except ValueError as error:
        raise StoreError("E-LIVE-FILE", f"the file is not JSON: {error}.", str(file)) from None
    answers = data.get("answers", data) if isinstance(data, dict) else None
    if not isinstance(answers, dict) or not all(isinstance(answer, dict) for answer in answers.values()):
        raise StoreError("E-LIVE-FILE", "the file is not a mapping of workload to what its host answered.", str(file))
    return str(data.get("at", file)), answers
