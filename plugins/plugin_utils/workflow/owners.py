# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""owners: which people own which files of the policy, as a CODEOWNERS file that Git forges understand.

The lines stand in a block of their own; everything outside it belongs to whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.errors import Finding, Place, PolicyError
from ..model.policy import Policy, Role
from ..policy.approvals import keepers
from ..policy.documents import load
from ..policy.documents.contents import Contents, contents

BEGIN = "# BEGIN microseg owners. Made from the policy by microseg owners --write; changes here are lost."
END = "# END microseg owners"
_BEGIN, _END = re.compile(r"^# BEGIN microseg owners\b.*$"), re.compile(r"^# END microseg owners\s*$")
#: A forge's user or team, or an e-mail address: nothing that would end the word, the line or the pattern.
_OWNER = re.compile(r"^(@[A-Za-z0-9][A-Za-z0-9_./\-]*|[^\s@#\\]+@[A-Za-z0-9][A-Za-z0-9.\-]*)$")
#: What patterns of the forges give a meaning, and no forge lets one escape alike.
_PATTERN = re.compile(r"[*?\[\]!\\\x00-\x1f\x7f]")
#: Folders in which a forge looks for the file; patterns count from the folder above.
_FOLDERS = (".github", ".gitlab", "docs")


@dataclass(frozen=True, slots=True)
class Line:
    """`pattern` as in CODEOWNERS; `why` says what the file holds."""

    pattern: str
    owners: tuple[str, ...]
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"pattern": self.pattern, "owners": list(self.owners), "why": self.why}


@dataclass(frozen=True)
class OwnersReport:
    """`text` is the whole file as it should be; `current`: whether it is so already."""

    lines: tuple[Line, ...]
    findings: tuple[Finding, ...]
    text: str
    current: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": "ok" if self.current else "findings",
            "lines": [line.to_dict() for line in self.lines],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def owners(directory: Path, file: Path) -> OwnersReport:
    """What `file` (CODEOWNERS) should be for the policy of a directory; nothing is written.

    Raises what `load` raises; PolicyError: E-OWNERS-FILE for a file with half a block or outside the repository of the
    policy, E-OWNERS-PATH for a policy file that no pattern can name, E-OWNER for an owner that no forge can have.
    """
    policy, _remarks = load(directory)
    root = _root(file)
    place = directory.resolve()
    if not place.is_relative_to(root):
        raise PolicyError(
            "E-OWNERS-FILE",
            f"the policy {directory} does not lie below {root}.",
            str(file),
            "Name a CODEOWNERS of the repository that holds the policy.",
        )
    prefix = place.relative_to(root).as_posix()
    before = _read(file)
    names = file.resolve().relative_to(root).as_posix()
    files = contents(directory)
    lines = (*_guards(policy, prefix, names), *_lines(policy, "" if prefix == "." else f"{prefix}/", files))
    text = _joined(before, lines, file)
    return OwnersReport(lines, tuple(_findings(policy, lines, files)), text, before == text)


def write_owners(file: Path, text: str) -> None:
    """Replace the file at once. Raises PolicyError (E-OWNERS-FILE)."""
    from ..orchestration.files import write_atomically

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PolicyError("E-OWNERS-FILE", f"the file cannot be written: {error.strerror}.", str(file)) from None
    write_atomically(file, text.encode())


def _root(file: Path) -> Path:
    folder = file.resolve().parent
    return folder.parent if folder.name in _FOLDERS else folder


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise PolicyError("E-OWNERS-FILE", f"the file cannot be read: {error.strerror}.", str(file)) from None
    except UnicodeDecodeError:
        raise PolicyError("E-OWNERS-FILE", "the file is not UTF-8.", str(file), "Save it as UTF-8.") from None


def _guards(policy: Policy, prefix: str, names: str) -> Iterator[Line]:
    """New files and this file itself: whoever may write roles. Later lines win, so they come first."""
    guards = _handles(policy, keepers(policy.roles, "roles"))
    if guards:
        yield Line("/" if prefix == "." else f"/{_escaped(prefix)}/", guards, "anything new")
        yield Line(f"/{_escaped(names)}", guards, "this file")


def _lines(policy: Policy, prefix: str, files: Sequence[Contents]) -> Iterator[Line]:
    scopes = {scope.name: scope.owners for scope in policy.scopes}
    for one in files:
        parties = [owner for name in one.scopes for owner in scopes.get(name, ())]
        for kind in one.kinds:
            parties += keepers(policy.roles, kind)
        found = _handles(policy, parties)
        if found:
            why = ", ".join([*(f"scope {name}" for name in one.scopes), *one.kinds])
            yield Line(f"/{_escaped(prefix + one.file)}", found, why)


def _handles(policy: Policy, parties: Iterable[str]) -> tuple[str, ...]:
    roles = {role.name: role for role in policy.roles}
    found: dict[str, None] = {}
    for party in parties:
        for handle in _handle(party, roles.get(party)):
            if not _OWNER.match(handle):
                raise PolicyError(
                    "E-OWNER",
                    f"{party!r} owns a scope, and {handle!r} is no user, team or e-mail address of a forge.",
                    hint="Write a login, @org/team, an e-mail address, or the name of a role.",
                )
            found[handle] = None
    return tuple(found)


def _handle(party: str, role: Role | None) -> tuple[str, ...]:
    words = (party,) if role is None else (role.handle,) if role.handle else tuple(member[0] for member in role.members)
    return tuple(word if "@" in word else f"@{word}" for word in words)


def _escaped(path: str) -> str:
    if _PATTERN.search(path) or path.startswith("#"):
        raise PolicyError(
            "E-OWNERS-PATH", f"{path!r} has signs that patterns of CODEOWNERS read otherwise.", path, "Rename it."
        )
    return path.replace(" ", "\\ ")


def _joined(before: str, lines: Sequence[Line], file: Path) -> str:
    block = [BEGIN]
    for line in lines:
        block += [f"# {' '.join(line.why.split())}", f"{line.pattern} {' '.join(line.owners)}"]
    block.append(END)
    old = before.split("\n")
    begins = [number for number, text in enumerate(old) if _BEGIN.match(text)]
    ends = [number for number, text in enumerate(old) if _END.match(text)]
    if not begins and not ends:
        kept = before if not before or before.endswith("\n") else f"{before}\n"
        return "".join((kept, "\n" if kept.strip() else "", "\n".join(block), "\n"))
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        raise PolicyError(
            "E-OWNERS-FILE",
            "the block of microseg is not whole, or stands there twice.",
            Place(str(file), (begins or ends)[0] + 1),
            "Remove all lines that begin with # BEGIN microseg or # END microseg, and what is between.",
        )
    return "\n".join([*old[: begins[0]], *block, *old[ends[0] + 1 :]])


def _findings(policy: Policy, lines: Sequence[Line], files: Sequence[Contents]) -> Iterator[Finding]:
    owned = {scope.name: frozenset(_handles(policy, scope.owners)) for scope in policy.scopes}
    places = {scope.name: scope.place for scope in policy.scopes}
    for name, handles in owned.items():
        if not handles:
            yield Finding(
                "W-OWNERS", "warning", f"scope {name} has no owners.", places[name], "Name who approves its changes."
            )
    for one in files:
        groups = {owned[name] for name in one.scopes if owned.get(name)}
        groups |= {found for kind in one.kinds if (found := frozenset(_handles(policy, keepers(policy.roles, kind))))}
        if len(groups) > 1:
            yield Finding(
                "W-OWNERS",
                "warning",
                "the file belongs to several groups of owners, and on a forge any one of them approves all of it.",
                Place(one.file),
                "Put what belongs to different people into different files.",
            )
    if not any(line.why == "anything new" for line in lines):
        yield Finding(
            "W-OWNERS",
            "warning",
            "no role may write roles, so new files of the policy and CODEOWNERS itself belong to nobody.",
            hint="Write a role with documents: [roles].",
        )
