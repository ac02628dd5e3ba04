# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policy as it arrives from a controller: checked as input from a stranger.

``policy`` is a mapping ``{"format": 1 or 2, "ruleset": TEXT, "members": {SET: [address, ...]}, "policy_digest": HEX,
"artifact_digest": HEX}``. TEXT declares exactly one thing, ``table inet microseg { ... }``, without the elements of its
membership sets (``m4_...``, ``m6_...``: plain sets of single addresses) and of set ``clock``, which this host fills
once its clock is synchronised (format 2: a host that did not know it would withhold every timed rule for ever). The
text is read word by word before nft sees it, because nft would follow an ``include``, obey a second command after the
table, or divert packets out of the policy.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Tuple

from .errors import FORMAT, PAYLOAD, HostError
from .listing import CLOCK, CLOCK_TYPE, FAMILY, MEMBERSHIP, TABLE, is_membership

KNOWN_FORMAT = 2
LARGEST_TEXT = 16 * 1024 * 1024
MOST_MEMBERS = 2_000_000

_WORD = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<comment>\#[^\n]*)
      | (?P<quoted>"[^"\n]*")
      | (?P<end>[\n;])
      | (?P<brace>[{}])
      | (?P<word>[A-Za-z0-9_.:/@*+%-]+)
      | (?P<sign>[=<>!&|^,()\[\]~])""",
    re.VERBOSE,
)
# Words that would read other files or define names nft replaces (include, define), switch the table off (dormant), tie
# it to a process (owner), send packets past the policy, hook it where it has no business (a table of ours looks at
# packets to and from this host, after connection tracking), or let packets fill sets (add, update, delete, meter): the
# members are what was approved, and ``clock`` is this host's word. All are keywords of nft: none can be a name.
_REFUSED = frozenset(
    ["include", "define", "redefine", "undefine", "dormant", "owner", "dup", "fwd", "tproxy", "queue", "synproxy",
     "flowtable", "offload", "nat", "netdev", "notrack", "zone", "helper", "prerouting", "postrouting", "forward",
     "ingress", "device", "add", "update", "delete", "meter"]
)  # fmt: skip
_SET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,200}\Z")
_SET_WORDS = frozenset(["type", "size", "policy", "comment", "memory", "performance"])
_DIGEST = re.compile(r"[0-9a-f]{8,128}\Z")


class Policy:
    """A checked policy. ``members`` maps every membership set of the text to its addresses in canonical spelling.

    ``timed``: some of its rules count only where the clock is to be trusted. ``scheduled``: it has sets of times.
    """

    def __init__(self, raw: Mapping[str, Any], members: Dict[str, FrozenSet[str]], timed: bool) -> None:
        self.format = int(raw["format"])
        self.timed = timed
        self.scheduled = "\ttypeof meta time\n" in str(raw["ruleset"])
        self.ruleset = str(raw["ruleset"])
        self.members = members
        self.policy_digest = str(raw["policy_digest"])
        self.artifact_digest = str(raw["artifact_digest"])
        self.text_digest = hashlib.sha256(self.ruleset.encode("utf-8")).hexdigest()

    @classmethod
    def parse(cls, raw: Any) -> Policy:
        """Refuses with E-HOST-FORMAT what is newer than this code, and with E-HOST-PAYLOAD what is not a policy."""
        if not isinstance(raw, Mapping):
            raise _refused("policy is not a mapping")
        version = raw.get("format")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise _refused("policy.format is not a number")
        if version > KNOWN_FORMAT:
            raise HostError(
                FORMAT,
                "policy format {0} is newer than {1}, the newest this host knows; the last policy stays. "
                "Update bulkhead.microseg.".format(version, KNOWN_FORMAT),
            )
        unknown = sorted(set(map(str, raw)) - {"format", "ruleset", "members", "policy_digest", "artifact_digest"})
        if unknown:
            raise _refused("unknown key policy.{0}".format(unknown[0]))
        for key in ("policy_digest", "artifact_digest"):
            if not isinstance(raw.get(key), str) or not _DIGEST.match(raw[key]):
                raise _refused("policy.{0} is not a hexadecimal digest".format(key))
        text = raw.get("ruleset")
        if not isinstance(text, str) or len(text) > LARGEST_TEXT:
            raise _refused("policy.ruleset is not a text of at most {0} characters".format(LARGEST_TEXT))
        declared = declared_sets(text)
        return cls(raw, _members(raw.get("members"), declared - {CLOCK}), CLOCK in declared)

    def as_dict(self) -> Dict[str, Any]:
        return {
            "format": self.format,
            "ruleset": self.ruleset,
            "members": sorted_members(self.members),
            "policy_digest": self.policy_digest,
            "artifact_digest": self.artifact_digest,
        }


def sorted_members(members: Mapping[str, FrozenSet[str]]) -> Dict[str, List[str]]:
    return {name: sorted(addresses) for name, addresses in sorted(members.items())}


def declared_sets(text: str) -> FrozenSet[str]:
    """Names of the sets without elements that a text declares; refuses a text that is not exactly our table."""
    words = list(_words(text))
    start = [value for kind, value in words if kind != "end"][:4]
    if start != ["table", FAMILY, TABLE, "{"]:
        raise _refused("the ruleset does not begin with 'table {0} {1} {{'".format(FAMILY, TABLE))
    found: Dict[str, None] = {}
    depth = 0
    closed = False
    membership = ""  # the membership set whose braces are open
    statement: List[str] = []
    for kind, value in words:
        if closed and kind != "end":
            raise _refused("the ruleset goes on after the table: {0!r}".format(value[:40]))
        refused = [part for part in value.split("@") if part in _REFUSED] if kind == "word" else []
        if refused:
            raise _refused("the ruleset uses the word {0!r}".format(refused[0]))
        if membership and kind in ("word", "sign") and depth == 2:
            _check_set_word(membership, statement, value)
        if value == "{":
            if depth == 1 and len(statement) == 2 and _filled_here(statement[1]):
                membership = _new_set(statement, found)
            elif membership:
                raise _refused("set {0} has elements in the ruleset".format(membership))
            depth += 1
        elif value == "}":
            depth -= 1
            if depth < 0:
                raise _refused("the ruleset closes more braces than it opens")
            if depth == 1:
                membership = ""
            closed = depth == 0
        if kind == "end" or kind == "brace":
            statement = []
        else:
            statement.append(value)
    if not closed:
        raise _refused("the ruleset does not close the table")
    return frozenset(found)


def _filled_here(name: str) -> bool:
    """Sets without elements in the text."""
    return is_membership(name) or name == CLOCK


def _new_set(statement: List[str], found: Dict[str, None]) -> str:
    kind, name = statement
    if kind != "set" or not _SET_NAME.match(name):
        raise _refused("{0} {1}: clock and names with m4_ and m6_ belong to sets".format(kind, name[:40]))
    if name in found:
        raise _refused("set {0} is declared twice".format(name))
    found[name] = None
    return name


def _check_set_word(name: str, statement: List[str], value: str) -> None:
    """Such a set is a plain hash set of addresses of one family, or its elements could mean something else."""
    wanted = CLOCK_TYPE if name == CLOCK else MEMBERSHIP[name[:3]]
    if not statement and value not in _SET_WORDS:
        raise _refused("set {0} has {1!r} in the ruleset".format(name, value[:40]))
    if statement and statement[0] == "type" and (len(statement) > 1 or value != wanted):
        raise _refused("set {0} is not of type {1}".format(name, wanted))


def _words(text: str) -> Iterator[Tuple[str, str]]:
    """Cut the text as nft's own scanner does, refusing what this cutter does not know."""
    if not text.replace("\n", " ").replace("\t", " ").isprintable():
        raise _refused("the ruleset holds control characters")
    position = 0
    while position < len(text):
        found = _WORD.match(text, position)
        if found is None:
            line = text.count("\n", 0, position) + 1
            raise _refused("line {0} of the ruleset: unexpected {1!r}".format(line, text[position : position + 20]))
        position = found.end()
        kind = found.lastgroup or ""
        if kind not in ("space", "comment"):
            yield kind, found.group()


def _members(raw: Any, declared: FrozenSet[str]) -> Dict[str, FrozenSet[str]]:
    if not isinstance(raw, Mapping):
        raise _refused("policy.members is not a mapping of set names to lists of addresses")
    if sum(len(one) for one in raw.values() if isinstance(one, (list, tuple))) > MOST_MEMBERS:
        raise _refused("more than {0} members".format(MOST_MEMBERS))
    strangers = sorted(set(map(str, raw)) - declared)
    if strangers:
        raise _refused("members are given for {0!r}, which the ruleset does not declare".format(strangers[0][:40]))
    members: Dict[str, FrozenSet[str]] = {name: frozenset() for name in declared}
    for name, elements in raw.items():
        if not isinstance(elements, (list, tuple)):
            raise _refused("members of {0} are not a list".format(name))
        members[str(name)] = frozenset(_plain_address(str(name), one) for one in elements)
    return members


def _plain_address(name: str, element: Any) -> str:
    """One address in the spelling nft lists it in; anything else could smuggle a range or a second command."""
    family = ipaddress.IPv4Address if name.startswith("m4_") else ipaddress.IPv6Address
    try:
        if not isinstance(element, str) or "%" in element:
            raise ValueError
        return str(family(element))
    except ValueError:
        raise _refused("members of {0}: {1!r} is not one address of that family".format(name, element)) from None


def _refused(reason: str) -> HostError:
    return HostError(PAYLOAD, "{0}. Nothing was changed; the last policy stays.".format(reason))
