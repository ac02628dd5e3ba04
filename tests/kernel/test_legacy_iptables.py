# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nft does not list the rules of the old iptables; they must not be taken for nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.legacy import as_listed
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact
from tests.conftest import Kernel
from tests.kernel.test_nft_sessions import QUIET
from tests.support.artifacts import AT
from tests.support.nft import ENVIRONMENT, listed, transaction

pytestmark = pytest.mark.kernel

ASK = (
    "import json; from ansible_collections.bulkhead.microseg.plugins.module_utils.host import legacy; "
    "print(json.dumps(legacy.tables()))"
)


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        (["iptables-legacy -A INPUT -p tcp --dport 80 -j DROP"], "unknown"),
        (["ip6tables-legacy -P OUTPUT DROP"], "unknown"),
        (["iptables-legacy -t nat -A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 80"], "unknown"),
        (["iptables-legacy -L -n"], "equal"),
        (["true"], "equal"),
    ],
)
def test_old_rules_are_unknown_and_empty_old_tables_are_not(kernel: Kernel, commands: list[str], state: str) -> None:
    if shutil.which("iptables-legacy", path=ENVIRONMENT["PATH"]) is None:
        pytest.skip("iptables-legacy is not installed")
    script = " && ".join([f"{one} >/dev/null" for one in commands] + ['exec "$@"'])
    run = subprocess.run(
        [*kernel.prefix, "sh", "-c", script, "sh", sys.executable, "-c", ASK],
        capture_output=True, text=True, env={**ENVIRONMENT, "PYTHONPATH": ":".join(sys.path)}, check=False,
    )  # fmt: skip
    if "does not exist" in run.stderr or "Table does not" in run.stderr or "initialize" in run.stderr:
        pytest.skip(f"this kernel has no such table: {run.stderr.strip()[:100]}")
    assert run.returncode == 0, run.stderr[-1000:]
    listing = listed(kernel.prefix, transaction(render(QUIET, "ab" * 32, AT).payload))
    everything = {"nftables": [*listing.everything["nftables"], *as_listed(json.loads(run.stdout))]}

    reading = read(listing.own, everything, QUIET.own, AT)

    assert difference(of_artifact(QUIET, AT), reading.form).state == state
    assert bool(reading.form.reasons) == (state == "unknown")
