# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rule sets of several tools in the kernel: what loading costs, which packets pass, what a packet costs.

`python -m tests.bench.peer_nft REQUEST.json` runs itself again in a network namespace of its own. The request is
`{"rulesets": {NAME: FILE}, "packets": [[source, protocol, port], …], "frames": [the same], "costs": [NAME, …]}`. The
answer has per name `load` (CPU seconds), `listing` (a file with what `nft -j` lists), `passed` (one boolean a packet)
and, for names in `costs`, `packet` (CPU nanoseconds over an empty hook for `frames`, median of interleaved rounds).
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import kernel_ability
from tests.support import packets
from tests.support.nft import ENVIRONMENT

from . import nft
from .neutral import DEVICE

PROTOCOLS = {"tcp": packets.TCP, "udp": packets.UDP}
ROUNDS = 11
#: Behind the rules under test: note what got through, then drop it before anything answers.
SINK = """
table inet sink {
    set tcp_seen { type ipv4_addr . inet_service; size 65535; flags dynamic; }
    set udp_seen { type ipv4_addr . inet_service; size 65535; flags dynamic; }
    chain c {
        type filter hook input priority 100; policy drop;
        ct state established accept
        %s
    }
}
"""
NOTE = """meta l4proto 6 add @tcp_seen { ip saddr . tcp dport }
        meta l4proto 17 add @udp_seen { ip saddr . udp dport }"""


class Device:
    """A namespace with a rule set, behind a veth; `sender` is a packet socket on our end of it."""

    def __init__(self, generator: int, name: str, text: str, note: bool) -> None:
        self.generator = generator
        packets.enter(generator)
        self.namespace = packets.new_namespace()
        packets.run("ip", "link", "add", "eth0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", name)
        nft.nft(SINK % (NOTE if note else ""))
        self.load = nft.nft(text) if text else 0.0
        packets.run("ip", "link", "set", name, "netns", f"/proc/{os.getpid()}/fd/{generator}")
        for line in (f"addr add {DEVICE}/24 dev eth0", "link set eth0 up", "route add 10.0.0.0/8 dev eth0"):
            packets.run("ip", *line.split())
        packets.enter(generator)
        packets.run("ip", "link", "set", name, "up")
        self.sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sender.bind((name, 0))

    def listed(self, *what: str) -> Any:
        packets.enter(self.namespace)
        try:
            return json.loads(subprocess.run(["nft", "-j", "list", *what], capture_output=True, check=True).stdout)
        finally:
            packets.enter(self.generator)

    def seen(self) -> set[tuple[str, str, int]]:
        found = set()
        for protocol in PROTOCOLS:
            body = self.listed("set", "inet", "sink", f"{protocol}_seen")["nftables"][1]["set"]
            for element in body.get("elem", ()):
                source, port = element["concat"]
                found.add((source, protocol, port))
        return found

    def close(self) -> None:
        self.sender.close()
        os.close(self.namespace)


def frame(number: int, source: str, protocol: str, port: int) -> bytes:
    """An Ethernet frame that opens a connection to the device."""
    segment = packets.body(number % 50_000, PROTOCOLS[protocol], 0, port, source, DEVICE)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number & 0xFFFF, 0, 64, PROTOCOLS[protocol], 0)
    head += socket.inet_aton(source) + socket.inet_aton(DEVICE)
    head = head[:10] + struct.pack("!H", packets.checksum(head)) + head[12:]
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + head + segment


def answer(request: dict[str, Any], directory: Path) -> dict[str, Any]:
    generator = packets.here()
    result: dict[str, Any] = {}
    frames = [frame(number, *packet) for number, packet in enumerate(request["packets"])]
    for name, file in request["rulesets"].items():
        device = Device(generator, name, Path(file).read_text(encoding="utf-8"), True)
        for one in frames:
            device.sender.send(one)
        seen = device.seen()
        listing = directory / f"{name}.json"
        everything = device.listed("ruleset")
        everything["nftables"] = [item for item in everything["nftables"] if not _of_sink(item)]
        listing.write_text(json.dumps(everything), encoding="utf-8")
        result[name] = {
            "load": device.load,
            "listing": str(listing),
            "passed": [(source, protocol, port) in seen for source, protocol, port in request["packets"]],
        }
        device.close()
    if request["costs"]:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
        for name, cost in _costs(generator, request, result).items():
            result[name]["packet"] = cost
    return result


def _costs(generator: int, request: dict[str, Any], result: dict[str, Any]) -> dict[str, float]:
    frames = [frame(number, *packet) for number, packet in enumerate(request["frames"])]
    texts = {name: Path(request["rulesets"][name]).read_text(encoding="utf-8") for name in request["costs"]}
    devices = {name: Device(generator, f"p{number}", text, False) for number, (name, text) in enumerate(texts.items())}
    bare = Device(generator, "bare", "", False)
    extra: dict[str, list[float]] = {name: [] for name in devices}
    empty = []
    for _round in range(ROUNDS):
        base = nft._burst(bare.sender, frames)
        empty.append(base)
        for name, device in devices.items():
            extra[name].append(nft._burst(device.sender, frames) - base)
    result["bare"] = {"packet": statistics.median(empty[1:])}
    for device in (bare, *devices.values()):
        device.close()
    return {name: statistics.median(values[1:]) for name, values in extra.items()}


def _of_sink(item: dict[str, Any]) -> bool:
    kind, body = next(iter(item.items()))
    return "sink" in (body.get("table"), body.get("name") if kind == "table" else None)


def main(file: str, inside: bool) -> int:
    if inside:
        path = Path(file)
        json.dump(answer(json.loads(path.read_text(encoding="utf-8")), path.parent), sys.stdout)
        return 0
    ability = kernel_ability()
    if ability.reason:
        print(ability.reason, file=sys.stderr)
        return 1
    command = [*ability.prefix, sys.executable, "-m", "tests.bench.peer_nft", file, "inside"]
    return subprocess.run(command, env=ENVIRONMENT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "inside" in sys.argv[2:]))
