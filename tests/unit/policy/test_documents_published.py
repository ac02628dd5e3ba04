# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is published about documents says what the code does."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path, PurePath

import jsonschema
import pytest
import yaml

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy import documents
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.policy.documents import loads, reference, schema

from .random_documents import random_documents
from .test_documents_errors import BAD

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SOURCES = Path(documents.__file__).parent


@pytest.mark.parametrize(("name", "module"), [("policy.schema.json", schema), ("policy-reference.md", reference)])
def test_the_published_page_is_the_one_the_code_makes(name, module):
    assert (DOCS / name).read_text(encoding="utf-8") == module.text(), f"run the command in {module.__name__}"


@pytest.mark.parametrize("module", [schema, reference])
def test_the_command_of_a_page_prints_it(module):
    run = subprocess.run([sys.executable, "-m", module.__name__], capture_output=True, check=True)

    assert run.stdout.decode("utf-8") == module.text()
    assert run.stderr == b""


def test_the_example_of_the_reference_is_a_valid_policy():
    text = re.search(r"```yaml\n(.*?)```", reference.text(), re.DOTALL)
    assert text

    policy, _findings = loads({"example.yml": text[1]})

    assert [rule.id for rule in policy.scopes[0].rulesets[0].rules] == ["web-to-db", "customers", "office"]


def test_every_error_code_has_a_section_with_its_meaning_and_what_to_do():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    codes = {code for path in SOURCES.glob("*.py") for code in re.findall(r'"([EW]-[A-Z-]+)"', path.read_text("utf-8"))}
    codes |= {f"{code}-TWICE" for code in ("E-SERVICE", "E-IP-LIST")}

    sections = dict(re.findall(r"^## ([EW]-[A-Z-]+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))

    assert not codes - sections.keys()
    assert not [code for code in codes if "```" not in sections[code] or "**Do**" not in sections[code]]


def validator():
    jsonschema = pytest.importorskip("jsonschema", reason="optional: jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema.schema())
    return jsonschema.Draft202012Validator(schema.schema())


@pytest.mark.parametrize("seed", range(30))
def test_the_schema_accepts_what_the_reader_accepts(seed):
    check = validator()

    for document in random_documents(random.Random(seed)):
        assert not list(check.iter_errors(document)), document


STRUCTURAL = ("E-KEY", "E-MISSING", "E-TIER", "E-STAGE", "E-MODE")
#: Rules between keys, and documents of scopes among others, are not part of the schema.
BETWEEN_KEYS = ("a mode said twice", "no mode at all")
WORDS = [case[:2] for case in BAD if case[2] in STRUCTURAL and case[0] not in BETWEEN_KEYS]


@pytest.mark.parametrize("text", [text for _claim, text in WORDS], ids=[claim for claim, _text in WORDS])
def test_the_schema_refuses_unknown_missing_and_misspelt_words(text):
    check = validator()

    assert any(list(check.iter_errors(document)) for document in yaml.safe_load_all(text))


def test_the_editor_example_finds_the_schema_and_the_policy_files() -> None:
    """As an editor resolves it: paths from the root of the project, globs over its files."""
    settings = json.loads((ROOT / "extensions" / "editors" / "vscode-settings.json").read_text(encoding="utf-8"))
    ((path, globs),) = settings["yaml.schemas"].items()
    published = json.loads((ROOT / path).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    assert any(PurePath("policy/shop/core.yml").match(glob) for glob in globs)
    rule = {"id": "r", "from": {"role": "web"}, "to": "any", "services": ["tcp/1"]}
    document = {"scope": "s", "match": {"app": "a"}, "rulesets": [{"name": "n", "rules": [rule]}]}
    validator = jsonschema.Draft202012Validator(published)
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "rulsets": []})
