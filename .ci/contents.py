# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""contents.py TARBALL WHEEL: compare what the artifacts hold with what Git tracks; exit 1 and name the difference."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile

PREFIX = "ansible_collections/bulkhead/microseg/"
NOT_SHIPPED = (".", "tests/", "galaxy.yml")  # of the tarball: Galaxy writes MANIFEST.json and FILES.json instead
IN_WHEEL = ("plugins/", "roles/", "playbooks/", "meta/", "galaxy.yml", "LICENSE", "README.md")


def difference(name: str, found: set[str], wanted: set[str]) -> bool:
    for path in sorted(wanted - found):
        print(f"{name} lacks {path}")
    for path in sorted(found - wanted):
        print(f"{name} holds {path}, which is not tracked")
    return found != wanted


def main() -> int:
    tarball, wheel = sys.argv[1:]
    listing = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    tracked = {path for path in listing.split("\0") if path}
    with tarfile.open(tarball) as archive:
        in_tarball = {member.name for member in archive if member.isfile()} - {"MANIFEST.json", "FILES.json"}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(PREFIX)]
    in_wheel = {name.removeprefix(PREFIX) for name in names}
    wrong = difference("tarball", in_tarball, {path for path in tracked if not path.startswith(NOT_SHIPPED)})
    wrong |= difference("wheel", in_wheel, {path for path in tracked if path.startswith(IN_WHEEL)})
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
