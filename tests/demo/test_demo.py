# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo where no kernel is to be had, and the demo interrupted. The whole of it is `make demo`."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "extensions/demo/run"


@pytest.fixture
def place() -> Iterator[pathlib.Path]:
    """Not in the directory of the checkout, where somebody may be watching a demo; with a space in its path."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="microseg demo "))
    yield directory / "demo"
    shutil.rmtree(directory, ignore_errors=True)


def start(place: pathlib.Path, *options: str) -> subprocess.Popen[str]:
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("optional: no .venv (make setup)")
    return subprocess.Popen(
        [str(DEMO), "--dir", str(place), *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def left(place: pathlib.Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def processes(place: pathlib.Path) -> list[str]:
    """Processes that still name the place."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                text = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(place) in text:
                found.append(text)
    return found


def test_without_a_kernel_it_shows_the_rest_and_says_what_is_left_out(place: pathlib.Path) -> None:
    demo = start(place, "--offline")
    output, _ = demo.communicate(timeout=120)

    assert demo.returncode == 0, output
    assert output.startswith("No lab here: --offline was given.")
    assert "left out   discover, enforce" in output
    assert not [line for line in output.splitlines() if len(line) > 100]
    assert left(place) == {".microseg", "logs"}
    assert not processes(place)


@pytest.mark.kernel
@pytest.mark.lab
def test_interrupted_it_leaves_nothing_that_runs(place: pathlib.Path) -> None:
    demo = start(place)
    assert demo.stdout is not None
    seen = ""
    for line in demo.stdout:
        seen += line
        if "bulkhead.microseg.discover" in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    rest = demo.stdout.read()
    demo.wait(30)

    if demo.returncode == 0 or "No lab here" in seen:
        pytest.skip(f"no lab here: {seen.partition(chr(10))[0]}")
    assert demo.returncode == 130, seen + rest
    assert "everything it started is ended" in rest
    assert left(place) == {".microseg", "logs"} or left(place) == {"logs"}
    assert not processes(place)
