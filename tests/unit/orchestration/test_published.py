# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is published about plans and errors is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.orchestration.plan import PlanOptions, make_plan
from tests.unit.orchestration.builders import AT, UNREACHABLE, bundle, host, states
from tests.unit.orchestration.test_plan import AFTER, BEFORE, OPTIONS, SHOP, seen

ROOT = Path(__file__).parents[3]


def plans():
    old, new = bundle(SHOP, BEFORE), bundle(SHOP, AFTER, "policy-2")
    live = states(old, **{"web-2": UNREACHABLE})
    yield make_plan(new, old, live, AT, OPTIONS, seen("10.0.0.4", "10.0.0.3", "tcp/5432"))
    yield make_plan(new, None, states(None, new.points), AT, OPTIONS)
    written = [*SHOP, host("tf", "app=tf", "10.0.0.50", writer="terraform", stack="s")]
    timed = [*BEFORE, "t: deny any -> any : tcp/9 expires=2027-01-01T00:00:00+00:00"]
    yield make_plan(bundle(written, timed), old, states(old), AT, PlanOptions(renderer="1"))


def test_plans_are_as_the_published_schema_says():
    jsonschema = pytest.importorskip("jsonschema", reason="optional: jsonschema is not installed")
    schema = json.loads((ROOT / "docs" / "plan.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)

    for plan in plans():
        jsonschema.validate(json.loads(json.dumps(plan.to_dict())), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("room", ["orchestration", "monitoring"])
def test_every_code_has_a_page(room):
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    sources = (ROOT / "plugins" / "plugin_utils" / room).rglob("*.py")
    codes = {code for path in sources for code in re.findall(r'"([EW]-[A-Z]+(?:-[A-Z]+)*)"', path.read_text("utf-8"))}

    assert codes
    assert [code for code in sorted(codes) if f"\n## {code}\n" not in page] == []
