# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bundle as named sections, so that one enforcement point's slice can be read and verified alone.

The manifest lists the digest of every section, sorted; the digest of the manifest is the digest of the bundle. Points
are spread over buckets by the hash of their name, so a manifest stays small however large the estate is.

==================  ==========================================
`policy/ID`         one shared policy (ingress, egress)
`set/ID`            one shared peer set
`points/HH`         the points whose name hashes to bucket HH
`workloads`         labels and addresses, for reports
==================  ==========================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1
WORKLOADS = "workloads"


def canonical(data: Any) -> bytes:
    """One text for equal data on any machine."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def bucket(point: str) -> str:
    return f"points/{hashlib.sha256(point.encode()).hexdigest()[:2]}"


def sections(data: Mapping[str, Any]) -> dict[str, bytes]:
    """Split `Bundle.to_dict()`; names in sorted order."""
    buckets: dict[str, dict[str, Any]] = {}
    for name, entry in data["points"].items():
        buckets.setdefault(bucket(name), {})[name] = entry
    parts: dict[str, Any] = dict(buckets)
    parts.update({f"policy/{name}": policy for name, policy in data["policies"].items()})
    parts.update({f"set/{name}": peer_set for name, peer_set in data["sets"].items()})
    parts[WORKLOADS] = data["workloads"]
    return {name: canonical(parts[name]) for name in sorted(parts)}


def manifest(data: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    return canonical(
        {
            "format": FORMAT,
            "policy_digest": data["policy_digest"],
            "sections": {name: digest_of(content) for name, content in parts.items()},
        }
    )


def joined(listing: Mapping[str, Any], read: Callable[[str], Any]) -> dict[str, Any]:
    """Put `Bundle.to_dict()` together again; `read(name)` gives a parsed section."""
    result: dict[str, Any] = {"policy_digest": listing["policy_digest"], "points": {}, "policies": {}, "sets": {}}
    for name in listing["sections"]:
        kind, _slash, key = name.partition("/")
        content = read(name)
        if kind == "points":
            result["points"].update(content)
        elif kind == "policy":
            result["policies"][key] = content
        elif kind == "set":
            result["sets"][key] = content
        else:
            result[WORKLOADS] = content
    return result


def slice_of(point: str, listing: Mapping[str, Any], read: Callable[[str], Any]) -> dict[str, Any]:
    """`Artifact.to_dict()` of one point from few sections. Raises KeyError for a point the bundle does not have."""
    if bucket(point) not in listing["sections"]:
        raise KeyError(point)
    entry = read(bucket(point))[point]
    policy = read(f"policy/{entry['policy']}")
    names = {
        name
        for direction in ("ingress", "egress")
        for rule in policy[direction]["rules"]
        for name in (*(rule["peers"] or ()), *(rule["own"] or ()))
    }
    return {
        "point": point,
        "workload": entry["workload"],
        "zone": entry["zone"],
        "own": entry["own"],
        "ingress": policy["ingress"],
        "egress": policy["egress"],
        "sets": [read(f"set/{name}") for name in sorted(names)],
    }
