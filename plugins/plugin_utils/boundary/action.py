# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the whole-estate action plugins have in common: they run once, on the controller, for all hosts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import fragment_loader, module_loader
from ansible.utils.plugin_docs import get_docstring

from .errors import action_errors
from .inventory import Inventory
from .moments import moment
from .plain import plain

#: Keys of a documented option that are also keys of an argument spec; `suboptions` is written `options` there.
_SPEC_KEYS = ("type", "required", "default", "choices", "elements", "aliases", "no_log")


class EstateAction(ActionBase):  # type: ignore[misc]
    """A subclass answers; its options are those of the module of the same name, which is documentation only."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        validation, _arguments = self.validate_argument_spec(argument_spec=documented_spec(self._task.resolved_action))
        with action_errors():
            arguments = _typed(plain(validation.validated_parameters))
            inventory = Inventory.of_task(task_vars or {})
            return {**result, "changed": False, **self.answer(arguments, inventory)}

    @abstractmethod
    def answer(self, arguments: dict[str, Any], inventory: Inventory) -> dict[str, Any]:
        """The result of the task, in JSON types. May raise MicrosegError.

        `policy` and `store` are paths, `facts` a list of them, `at` is a datetime or None, the others as documented.
        """


def _typed(arguments: dict[str, Any]) -> dict[str, Any]:
    typed = {name: Path(arguments[name]) for name in ("policy", "store") if arguments.get(name)}
    facts = [Path(path) for path in arguments.get("facts") or ()]
    return {**arguments, **typed, "facts": facts, "at": moment(arguments.get("at"))}


def documented_spec(action: str) -> dict[str, Any]:
    """The argument spec of the documentation, so that the two cannot differ. `action` is a full name."""
    found = module_loader.find_plugin_with_context(action)
    collection = ".".join(action.split(".")[:2])
    documentation = get_docstring(
        found.plugin_resolved_path, fragment_loader, collection_name=collection, is_module=True
    )
    return _spec(documentation[0]["options"])


def _spec(options: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for name, option in options.items():
        spec[str(name)] = {key: option[key] for key in _SPEC_KEYS if key in option}
        if option.get("suboptions"):
            spec[str(name)]["options"] = _spec(option["suboptions"])
    return spec
