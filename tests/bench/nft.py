# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What rendered tables cost the kernel and nft: loading, adding a member, a packet; what comparing a host costs us.

Each function returns `dict(name, value, unit, detail)`. Those that touch the kernel do so in a new network namespace,
in a process of their own: `python -m tests.bench.nft QUESTION` runs there and prints JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conftest import kernel_ability
from tests.support import packets
from tests.support.nft import ENVIRONMENT, only_ours, transaction

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260601
OWN = 0x0B000001
OWN_TEXT = "11.0.0.1"
SINK = """table inet sink {
 chain c {
  type filter hook input priority 100; policy drop;
  ct state established accept
 }
}
"""


def load_100k() -> dict[str, Any]:
    return _asked("load")


def add_one_to_100k() -> dict[str, Any]:
    return _asked("add")


def packet_cost_at_100k() -> dict[str, Any]:
    return _asked("packet")


def compare_host_10k() -> dict[str, Any]:
    return _asked("compare")


def _asked(question: str) -> dict[str, Any]:
    """Raises RuntimeError with the reason where this machine cannot answer."""
    ability = kernel_ability()
    if ability.reason:
        raise RuntimeError(ability.reason)
    run = subprocess.run(
        [*ability.prefix, sys.executable, "-m", "tests.bench.nft", question],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
        check=False,
    )
    if run.returncode:
        raise RuntimeError((run.stderr.strip() or "no answer").splitlines()[-1])
    return dict(json.loads(run.stdout))


def artifact(count: int, sets: int = 20) -> Any:
    """A host in mode full: as many label groups as `sets`, some services shared between them."""
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model import services as line
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.artifact import (
        Artifact,
        ArtifactRule,
        DirectionPolicy,
        PeerSet,
    )
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.intervals import normalised

    chance = random.Random(SEED)
    addresses = chance.sample(range(0x0A000000, 0x0A800000), count)
    chosen = {}
    for number in range(sets):
        mine = addresses[number::sets]
        name = f"group{number}"
        chosen[name] = PeerSet(name, "members", f"app={name}", {4: normalised((one, one) for one in mine), 6: ()})
    rules = tuple(
        ArtifactRule(
            f"rule{number}@bench/core", "application", "allow", line.parse_all([f"tcp/{1000 + number // 4}"]), (name,)
        )
        for number, name in enumerate(chosen)
    )
    own = {4: ((OWN, OWN),), 6: ()}
    return Artifact("bench", "bench", "", own, DirectionPolicy("full", rules), DirectionPolicy("idle"), chosen)  # type: ignore[arg-type]


def rendered(count: int) -> str:
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.render import render

    return transaction(render(artifact(count), "ab" * 32, datetime.now(UTC)).payload)


def nft(text: str) -> float:
    """CPU seconds of one `nft -f`, user and system, kernel work for it included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr[:300])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def answer_load() -> dict[str, Any]:
    text = f"table inet microseg\ndelete table inet microseg\n{rendered(100_000)}"
    values = [nft(text) for _round in range(3)]
    return _result("load 100,000 addresses", statistics.median(values), "CPU s", "20 hash sets; rounds 2 and 3 replace")


def answer_add() -> dict[str, Any]:
    nft(rendered(100_000))
    values = [nft(f"add element inet microseg m4_group0 {{ 10.200.0.{number} }}") for number in range(9)]
    return _result(
        "add one address to 100,000", 1000 * statistics.median(values), "CPU ms", "one nft process; median of 9"
    )


def answer_compare() -> dict[str, Any]:
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.enforcement.nftables.read import read
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.compare import difference
    from ansible_collections.bulkhead.microseg.plugins.plugin_utils.model.forms import of_artifact

    host = artifact(10_000)
    nft(rendered(10_000))
    now = datetime.now(UTC)
    listing, ours = [], []
    for _round in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(["nft", "-j", "list", "ruleset"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        listing.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        began = time.process_time()
        document = json.loads(run.stdout)
        found = read(only_ours(document), document, host.own, now)
        state = difference(of_artifact(host, now), found.own_form).state
        ours.append(time.process_time() - began)
        assert state == "equal"
    detail = f"decode, read, compile intent, compare; nft's own listing {1000 * statistics.median(listing):.0f} ms"
    return _result("compare a host with 10,000 addresses", 1000 * statistics.median(ours), "CPU ms", detail)


def answer_packet() -> dict[str, Any]:
    """Two hosts side by side, one with our table and one without; rounds alternate, so both meet the same machine."""
    members = [low for peers in artifact(100_000).sets.values() for low, _high in peers.addresses[4]]
    frames = _frames(random.Random(SEED).sample(members, 20_000))
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    generator = packets.here()
    holder = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    tables = {"full": rendered(100_000) + SINK, "bare": SINK}
    senders = [_host(generator, holder.pid, name, text) for name, text in tables.items()]
    holder.kill()
    holder.wait()
    costs: list[tuple[float, float]] = []
    for _round in range(11):
        full, bare = (_burst(sender, frames) for sender in senders)
        costs.append((full, bare))
    extra = statistics.median(full - bare for full, bare in costs[1:])
    detail = (
        f"over {statistics.median(bare for _full, bare in costs[1:]):.0f} ns of a hook with connection tracking alone"
    )
    return _result("one new connection past 100,000 addresses", extra, "CPU ns", detail)


def _host(generator: int, holder: int, name: str, text: str) -> socket.socket:
    """A namespace with a table, behind a veth; returns a packet socket on our end of it."""
    packets.enter(generator)
    packets.new_namespace()  # lives as long as the descriptor it returned, which nobody closes
    ends = f"eth0 address 02:00:00:00:00:01 type veth peer name {name} netns {holder}"
    packets.run("ip", "link", "add", *ends.split())
    nft(text)
    for line in ("addr add 11.0.0.1/24 dev eth0", "link set eth0 up", "route add 10.0.0.0/8 dev eth0"):
        packets.run("ip", *line.split())
    packets.enter(generator)
    packets.run("ip", "link", "set", name, "up")
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.bind((name, 0))
    return made


def _frames(sources: list[int]) -> list[bytes]:
    """TCP SYNs to ports of the policy, each from another member."""
    result = []
    for number, source in enumerate(sources):
        text = socket.inet_ntoa(struct.pack("!I", source))
        segment = packets.body(number % 50_000, packets.TCP, 0, 1000 + number % 5, text, OWN_TEXT)
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), number & 0xFFFF, 0, 64, 6, 0,
                           struct.pack("!I", source), socket.inet_aton(OWN_TEXT))  # fmt: skip
        head = head[:10] + struct.pack("!H", packets.checksum(head)) + head[12:]
        result.append(b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + head + segment)
    return result


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )  # fmt: skip


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


def _burst(sender: socket.socket, frames: list[bytes]) -> float:
    """CPU nanoseconds a packet, sending and receiving: the kernel delivers within the sender's system call."""
    vectors = (_Vector * len(frames))(*((frame, len(frame)) for frame in frames))
    messages = (_Message * len(frames))()
    for number, message in enumerate(messages):
        message.header.vectors = ctypes.pointer(vectors[number])
        message.header.vector_count = 1
    size = ctypes.sizeof(_Message)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _repeat in range(5):
        for start in range(0, len(frames), 64):
            at = ctypes.byref(messages, start * size)
            count = min(64, len(frames) - start)
            if packets.LIBC.sendmmsg(sender.fileno(), at, count, 0) != count:
                raise OSError(ctypes.get_errno(), "sendmmsg")
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return 1e9 * spent / (5 * len(frames))


def _result(name: str, value: float, unit: str, detail: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "detail": detail}


ANSWERS: dict[str, Callable[[], dict[str, Any]]] = {
    "load": answer_load,
    "add": answer_add,
    "packet": answer_packet,
    "compare": answer_compare,
}

if __name__ == "__main__":
    json.dump(ANSWERS[sys.argv[1]](), sys.stdout)
