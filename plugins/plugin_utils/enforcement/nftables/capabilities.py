# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What nftables can express, and the numbers our table is built with."""

from __future__ import annotations

from ..driver import Capabilities

CAPABILITIES = Capabilities(
    platform="nftables",
    actions=frozenset(("allow", "deny", "pass")),
    reject=True,
    log=True,
    own_addresses=True,
    moments=True,
    schedules=True,
    cuts=True,
    source="measured with nft 1.0.6 on Linux 6.18; the kernel round trip tests repeat it",
)

FAMILY = "inet"
TABLE = "microseg"
#: Just before the priority other firewalls use, so that their counters only see what we let through.
PRIORITY = "filter - 5"
#: NFLOG group of our log lines: kernel log lines of network namespaces are off by default, NFLOG works everywhere.
LOG_GROUP = 86
#: Log lines of one row; counters stay exact when lines are withheld.
LOG_RATE = "10/second burst 20 packets"
#: nft refuses comments beyond 128 characters.
LONGEST_COMMENT = 120
#: A membership set holds single addresses. Up to this many addresses of blocks are written one by one into it; a set
#: with larger blocks becomes an interval set, whose elements are part of the policy text.
EXPANDED_MEMBERS = 1024
