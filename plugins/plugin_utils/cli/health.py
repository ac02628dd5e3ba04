# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""version and doctor: what is installed, and whether it fits together."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..model.errors import MicrosegError, StoreError
from .job import FINDINGS, OK, UNABLE, Answer, Job, errors_of
from .screen import Screen, plural

#: The root of the collection, wherever it is installed.
ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = ("ansible-core", "pydantic", "PyYAML", "jmespath", "typer", "rich")


def collection_version() -> str:
    """From galaxy.yml in a checkout or a wheel, from MANIFEST.json where ansible-galaxy installed it."""
    manifest = ROOT / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text("utf-8"))["collection_info"]["version"])
    found = re.search(r"^version:\s*(\S+)\s*$", (ROOT / "galaxy.yml").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise StoreError("E-INSTALLATION", "galaxy.yml has no version.", str(ROOT / "galaxy.yml"))
    return found[1]


def version() -> Answer:
    data = {"microseg": collection_version(), "python": platform.python_version(), "ansible-core": _of("ansible-core")}
    line = f"microseg {data['microseg']}  (ansible-core {data['ansible-core']}, Python {data['python']})"
    return Answer(data, lambda: line)


def _of(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def doctor(job: Job) -> Answer:
    """Every check runs, whatever the others say: 1 when one of them has findings, 2 when one could not run."""
    checks = [_installation(), _checked("inventory", lambda: _inventory(job)), _checked("policy", lambda: _policy(job))]
    worst = max({"ok": OK, "findings": FINDINGS, "unable": UNABLE}[check["outcome"]] for check in checks)
    data = {"outcome": ("ok", "findings", "unable")[worst], "version": collection_version(), "checks": checks}
    return Answer(data, lambda: _screen(job, data), worst)


def _checked(name: str, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"check": name, **check()}
    except MicrosegError as error:
        found = [finding.to_dict() for finding in errors_of(error)]
        return {"check": name, "outcome": "unable", "detail": str(error), "findings": found}


def _installation() -> dict[str, Any]:
    libraries = {name: _of(name) for name in LIBRARIES}
    lacking = [name for name, found in libraries.items() if not found]
    return {
        "check": "installation",
        "outcome": "unable" if lacking else "ok",
        "detail": f"lacks {', '.join(lacking)}" if lacking else f"Python {platform.python_version()}, {ROOT}",
        "python": sys.executable,
        "libraries": libraries,
    }


def _inventory(job: Job) -> dict[str, Any]:
    hosts = job.inventory().hosts()
    silent = [host.name for host in hosts if not host.addresses]
    bare = [host.name for host in hosts if not host.enforcement]
    detail = f"{plural(len(hosts), 'host')}, {len(silent)} without an address, {len(bare)} without enforcement"
    return {"outcome": "findings" if silent else "ok", "detail": detail, "without_address": silent}


def _policy(job: Job) -> dict[str, Any]:
    inputs = job.inputs()
    detail = f"{plural(len(inputs.errors), 'error')}, {plural(len(inputs.findings), 'finding')}"
    return {
        "outcome": "findings" if inputs.errors else "ok",
        "detail": detail,
        "findings": [finding.to_dict() for finding in inputs.findings],
    }


def _screen(job: Job, data: dict[str, Any]) -> str:
    screen = Screen()
    screen.line(f"DOCTOR  microseg {data['version']}", data["outcome"].upper())
    screen.rows((check["check"], check["outcome"], check["detail"]) for check in data["checks"])
    unable = data["outcome"] == "unable"
    screen.next(f"correct what is unable, then: {job.command('doctor')}" if unable else job.command("check"))
    return screen.text()
