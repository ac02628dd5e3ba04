# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this host cannot do without (directory, name servers): tried before a change, and before it is confirmed."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.bulkhead.microseg.plugins.module_utils import probing

from .errors import DEPENDENCY, PAYLOAD, HostError

#: Seconds after which silence is a verdict; all are tried side by side.
PATIENCE = 3.0


def answering(wanted: Sequence[Mapping[str, Any]]) -> List[Dict[str, str]]:
    """Those that answer now. Refuses with E-HOST-PAYLOAD what cannot be tried."""
    return [
        {"address": probe.address, "service": probe.service}
        for probe, result in _tried(wanted)
        if result["verdict"] == probing.ALLOWED
    ]


def require(wanted: Sequence[Mapping[str, Any]]) -> None:
    """Refuses with E-DEPENDENCY where one does not answer."""
    silent = [
        "{0} at {1}".format(probe.service, probe.address)
        for probe, result in _tried(wanted)
        if result["verdict"] != probing.ALLOWED
    ]
    if silent:
        raise HostError(
            DEPENDENCY,
            "since the change this host does not reach {0}. It was not confirmed and is taken back.".format(
                ", ".join(silent)
            ),
        )


def _tried(wanted: Sequence[Mapping[str, Any]]) -> Any:
    try:
        probes = [probing.parse(dict(one, expect=None)) for one in wanted]
    except (KeyError, ValueError) as error:
        raise HostError(PAYLOAD, "a dependency cannot be tried: {0}".format(error)) from error
    return zip(probes, probing.run(probes, PATIENCE)) if probes else ()
