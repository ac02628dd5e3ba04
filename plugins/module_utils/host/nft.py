# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel's rules through the ``nft`` program: read them, try a transaction, load one."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, NamedTuple, Optional

from . import programs
from .errors import NFT, HostError
from .listing import CLOCK, FAMILY, TABLE, own, trusting

Listing = Dict[str, Any]

# Loads rules where no packet is and prints them as this kernel understood them.
_PREVIEW = '"$1" -f - || exit 3; "$1" -j list ruleset && "$1" -s list ruleset'


class Preview(NamedTuple):
    listing: Listing
    text: str


class Nft:
    """One network namespace's nftables: that of this process."""

    def __init__(self) -> None:
        self._program: Optional[str] = None

    @property
    def program(self) -> str:
        if self._program is None:
            self._program = programs.need("nft")
        return self._program

    def version(self) -> str:
        found = re.search(r"v([0-9.]+)", programs.run([self.program, "--version"]).out)
        return found.group(1) if found else "unknown"

    def table(self) -> Optional[Listing]:
        """Listing of our table; None if it is not there."""
        for _attempt in range(3):  # the table may come between the two questions
            done = programs.run([self.program, "-j", "list", "table", FAMILY, TABLE])
            if done.code == 0:
                return _decoded(done.out)
            if not self.exists():
                return None
        raise HostError(NFT, "nft cannot list our table: {0}".format(_brief(done.err)))

    def exists(self) -> bool:
        """Is our table there? Costs little however large it is, for this is asked every minute."""
        # nft reads all set elements to list tables, and none to list chains; a table may have no chain.
        for what in ("chains", "tables"):
            done = programs.run([self.program, "-j", "list", what])
            if done.code != 0:
                raise HostError(NFT, "nft cannot list {0}: {1}".format(what, _brief(done.err)))
            if own(_decoded(done.out)):
                return True
        return False

    def trusting(self) -> Optional[bool]:
        """As `listing.trusting`, at the cost of one small set."""
        done = programs.run([self.program, "-j", "list", "set", FAMILY, TABLE, CLOCK])
        return trusting(_decoded(done.out)) if done.code == 0 else None

    def ruleset(self) -> Listing:
        """Listing of every table of this namespace."""
        done = programs.run([self.program, "-j", "list", "ruleset"])
        if done.code != 0:
            raise HostError(NFT, "nft cannot list the ruleset: {0}".format(_brief(done.err)))
        return _decoded(done.out)

    def text(self) -> str:
        """Our table as people read it, without counter values; empty if it is not there."""
        done = programs.run([self.program, "-s", "list", "table", FAMILY, TABLE])
        return done.out if done.code == 0 else ""

    def check(self, transaction: str) -> None:
        """Let the kernel validate a transaction without applying it."""
        done = programs.run([self.program, "-c", "-f", "-"], transaction)
        if done.code != 0:
            raise HostError(NFT, "the kernel refuses this policy: {0}".format(_brief(done.err)))

    def load(self, transaction: str) -> None:
        """Apply all of a transaction or nothing of it."""
        done = programs.run([self.program, "-f", "-"], transaction)
        if done.code != 0:
            raise HostError(NFT, "loading failed, nothing was applied: {0}".format(_brief(done.err)))

    def preview(self, text: str) -> Optional[Preview]:
        """What this kernel would list after loading ``text`` into an empty network namespace.

        None where such a namespace is not to be had (containers without the right to make one) or where the text
        needs something of this host (an interface index); the caller then learns the form only after loading.
        """
        unshare = programs.find("unshare")
        if unshare is None:
            return None
        done = programs.run([unshare, "--net", "/bin/sh", "-c", _PREVIEW, "sh", self.program], text)
        if done.code != 0:
            return None
        listing, _newline, rest = done.out.partition("\n")
        return Preview(_decoded(listing), rest)


def _decoded(text: str) -> Listing:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise HostError(NFT, "nft printed no JSON: {0}".format(_brief(text))) from error
    if not isinstance(value, dict):
        raise HostError(NFT, "nft printed no listing: {0}".format(_brief(text)))
    return value


def _brief(text: str) -> str:
    """The first lines of a message: nft repeats the offending rule, and rules can be long."""
    return " / ".join(line.strip()[:200] for line in text.strip().splitlines()[:6])
