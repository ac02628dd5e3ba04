# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a measurement is: a function that runs alone in its process and yields figures.

Time is CPU seconds, user and system, because wall clocks of shared machines measure the neighbours. Memory is the peak
of the resident set, from the kernel's own high-water mark, which can be set back to the present before a step.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

Figures = Iterator["Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `target` is the most it should be; None where nothing was promised. `peer` compares with somebody."""

    name: str
    value: float
    unit: str
    target: float | None = None
    detail: str = ""
    peer: str = ""

    @property
    def ok(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Figure:
        return cls(**{key: data[key] for key in ("name", "value", "unit", "target", "detail", "peer")})


@dataclass(frozen=True, slots=True)
class Measurement:
    """`run(quick)` yields figures. `pure` needs nothing but Python, and has a quick form for tests.

    `module` is what a process must import to run it, and `says` one line about what it measures.
    """

    name: str
    run: Callable[[bool], Figures]
    pure: bool
    module: str
    says: str


class CouldNotRun(Exception):
    """This machine lacks something the measurement needs; the text says what."""


class LeftOut(CouldNotRun):
    """The same, where the thing is somebody else's (a peer): no failure of the run."""


MEASUREMENTS: dict[str, Measurement] = {}


def measurement(name: str, *, pure: bool) -> Callable[[Callable[[bool], Figures]], Callable[[bool], Figures]]:
    """Register a function; the first line of its docstring says what it measures. A partial is its function."""

    def register(function: Callable[[bool], Figures]) -> Callable[[bool], Figures]:
        whole = getattr(function, "func", function)
        says = (whole.__doc__ or "").strip().splitlines()[0]
        MEASUREMENTS[name] = Measurement(name, function, pure, whole.__module__, says)
        return function

    return register


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of a step; MB at its peak, and how much of that was there before it."""

    cpu: float
    peak: float
    before: float

    @property
    def added(self) -> float:
        return self.peak - self.before


def cost(step: Callable[[], Any]) -> tuple[Cost, Any]:
    """Run once, from a collected heap. The result is returned, so that it counts as alive at the peak."""
    gc.collect()
    _reset_peak()
    before = resident()
    start = time.process_time()
    result = step()
    used = time.process_time() - start
    return Cost(used, peak(), before), result


def median_cpu(step: Callable[[], Any], times: int) -> float:
    """Median CPU seconds of several runs in this process."""
    used = []
    for _ in range(times):
        gc.collect()
        start = time.process_time()
        step()
        used.append(time.process_time() - start)
    return statistics.median(used)


def children_cpu() -> float:
    """CPU seconds of all children that have ended; the difference of two calls is what those between them used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    """MB of this process now."""
    return _status("VmRSS")


def peak() -> float:
    """MB at the highest point since the start of the process, or since the last `cost`.

    The high-water mark of the address space, not `ru_maxrss`: that one also remembers the parent before exec.
    """
    return _status("VmHWM")


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def _status(key: str) -> float:
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
    raise CouldNotRun(f"/proc/self/status has no {key}")
