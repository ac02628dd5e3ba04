# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo: from an inventory to proven enforcement, drift, repair and two mishaps that do no harm.

Every step drives the public playbooks and the command line as a user does, on real hosts, and ends with what it proved.
Exit code 0: every step proved what it claims. 1: one did not. 2: the demo could not run. 130: interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import pathlib
import signal
import sys
from collections.abc import Iterator

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path[0] = str(CHECKOUT)

from extensions.demo import offline, steps_of_change, steps_of_trouble
from extensions.demo.screen import NotProvedError, Screen
from extensions.demo.stage import PLACE, Stage
from extensions.lab.lab import LabError, probe_ability

STEPS = (
    steps_of_change.discover,
    steps_of_change.check,
    steps_of_change.plan,
    steps_of_change.enforce,
    steps_of_change.proof,
    steps_of_trouble.drift,
    steps_of_trouble.safety,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="extensions/demo/run", description=__doc__.partition("\n")[0])
    parser.add_argument("--rootless", action="store_true", help="as root: play it as an ordinary user has to")
    parser.add_argument("--offline", action="store_true", help="only the parts that need no kernel")
    parser.add_argument("--dir", type=pathlib.Path, default=PLACE, help="a directory of its own (default .cache/demo)")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        with _alone(options.dir):
            return _play(options)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it started is ended", file=sys.stderr)
        return 130
    except (LabError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


def _play(options: argparse.Namespace) -> int:
    word, reason = ("none", "--offline was given") if options.offline else probe_ability()
    screen = Screen()
    stage = Stage(options.dir.absolute(), rootless=options.rootless or word == "user-namespaces")
    stage.prepare()
    facts = []
    if word == "none":
        screen.say(f"No lab here: {reason}. Showing what needs no kernel.")
        offline.play(screen, stage)
        stage.tidy()
        facts.append(("left out", offline.LEFT_OUT))
    else:
        with stage, contextlib.suppress(NotProvedError):
            _introduce(screen, stage)
            for step in STEPS:
                step(screen, stage)
    missing = len(STEPS) - len(screen.steps) if word != "none" else 0
    if missing:
        facts.append(("not reached", f"{missing} steps"))
    screen.summary(
        [("reports", _shown(stage.reports)), ("logs", f"{_shown(stage.logs)} (all that was printed)"), *facts]
    )
    return 0 if screen.ok and not missing else 1


def _shown(path: pathlib.Path) -> str:
    return str(path.relative_to(CHECKOUT)) if path.is_relative_to(CHECKOUT) else str(path)


def _introduce(screen: Screen, stage: Stage) -> None:
    assert stage.lab is not None
    managed = sum(not host.unmanaged for host in stage.lab.hosts.values())
    way = (
        "entered by the netns connection plugin, which tries port 22 first"
        if stage.lab.rootless
        else "with a real sshd each"
    )
    screen.say(
        f"{managed} managed hosts {way}, {len(stage.lab.hosts) - managed} appliance, IPv4 and IPv6, kernel nftables."
    )
    screen.say(f"Commands run in {_shown(stage.place)}; the policy there is {_shown(HERE / 'policy')}.")


@contextlib.contextmanager
def _alone(place: pathlib.Path) -> Iterator[None]:
    """One demo at a time in a place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_name(place.name + ".lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another demo runs in {place}") from None
        yield


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
