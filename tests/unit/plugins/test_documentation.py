# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of every plugin: it can be read, and its examples use options that exist."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.loader import action_loader, fragment_loader
from ansible.utils.plugin_docs import get_docstring

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.boundary.action import documented_spec

ROOT = pathlib.Path(__file__).resolve().parents[3]
KINDS = ("modules", "lookup", "callback")
PLUGINS = sorted(path for kind in KINDS for path in (ROOT / "plugins" / kind).glob("*.py") if path.stem != "__init__")
MODULES = [path.stem for path in PLUGINS if path.parent.name == "modules"]
ACTIONS = sorted(path.stem for path in (ROOT / "plugins/action").glob("*.py") if path.stem != "__init__")


def documentation(path: pathlib.Path) -> tuple[Any, ...]:
    kind = {"modules": "module"}.get(path.parent.name, path.parent.name)
    return get_docstring(
        str(path),
        fragment_loader,
        collection_name="bulkhead.microseg",
        is_module=kind == "module",
        plugin_type=kind,
    )


def tasks(examples: str) -> list[dict[str, Any]]:
    return [task for document in yaml.safe_load_all(examples) for task in document or []]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_documentation_examples_and_return_values_are_yaml(path: pathlib.Path) -> None:
    doc, examples, returns, _metadata = documentation(path)

    assert doc["short_description"]
    assert doc["version_added"] == "0.1.0"
    tasks(examples)
    if path.parent.name != "callback":
        assert returns


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_examples_use_options_of_our_modules_that_exist(path: pathlib.Path) -> None:
    for task in tasks(documentation(path)[1]):
        for name, arguments in task.items():
            if not name.startswith("bulkhead.microseg."):
                continue
            given = {key: _sample(value) for key, value in (arguments or {}).items()}
            spec = documented_spec(name)
            result = ArgumentSpecValidator(_untyped(spec)).validate(given)
            assert not result.error_messages, f"{name}: {result.error_messages}"


def _sample(value: Any) -> Any:
    return "x" if isinstance(value, str) and "{{" in value else value


def _untyped(spec: dict[str, Any]) -> dict[str, Any]:
    """Values that are templates have no type here, so only the names of options are checked."""
    return {name: {"type": "raw", "required": option.get("required", False)} for name, option in spec.items()}


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_runs_once_without_connection_and_says_so(name: str) -> None:
    action = action_loader.get(f"bulkhead.microseg.{name}", class_only=True)
    doc = documentation(ROOT / "plugins" / "modules" / f"{name}.py")[0]

    assert action.BYPASS_HOST_LOOP is True
    assert action._requires_connection is False
    assert action._supports_check_mode is (doc["attributes"]["check_mode"]["support"] == "full")
    assert doc["attributes"]["bypass_host_loop"]["support"] == "full"


@pytest.mark.parametrize("name", ACTIONS)
def test_the_twin_of_an_action_is_documentation_only(name: str) -> None:
    text = (ROOT / "plugins" / "modules" / f"{name}.py").read_text()

    assert "import " not in text.replace("from __future__ import annotations", "").split("RETURN = ")[1].split('"""')[2]
