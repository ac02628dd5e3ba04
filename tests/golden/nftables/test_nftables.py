# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A few artifacts as they are rendered, and as the kernel lists them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import Artifact
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from tests.conftest import Kernel
from tests.support.artifacts import AT
from tests.support.nft import listed, transaction

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/artifact.json"))


def artifact_of(case: str) -> Artifact:
    return Artifact.from_dict(json.loads((HERE / case / "artifact.json").read_text()))


def as_json(data: Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_an_artifact_is_rendered_as_before(case: str, golden: Callable[[Path, str], None]) -> None:
    rendered = render(artifact_of(case), "ab" * 32, AT)

    golden(HERE / case / "ruleset.nft", rendered.payload["ruleset"])
    golden(HERE / case / "members.json", as_json(rendered.payload["members"]))
    golden(HERE / case / "rows.json", as_json({name: asdict(row) for name, row in rendered.rows.items()}))


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_lists_it_as_before(case: str, kernel: Kernel, golden: Callable[[Path, str], None]) -> None:
    """Newer versions of nft may list differently; what counts is that the reader understands them."""
    artifact = artifact_of(case)
    payload = render(artifact, "ab" * 32, AT).payload
    found = listed(kernel.prefix, transaction(payload)).own
    stored = HERE / case / "listing.json"

    if found is not None:
        version = found["nftables"][0]["metainfo"]["version"]
        if not stored.exists() or json.loads(stored.read_text())["nftables"][0]["metainfo"]["version"] == version:
            golden(stored, json.dumps(found) + "\n")
    assert difference(of_artifact(artifact, AT), read(found, found, artifact.own, AT).form).state == "equal"


@pytest.mark.parametrize("case", CASES)
def test_the_stored_listing_means_the_artifact(case: str) -> None:
    listing = json.loads((HERE / case / "listing.json").read_text())
    artifact = artifact_of(case)

    assert read(listing, listing, artifact.own, AT).form == of_artifact(artifact, AT)
