# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put this package on the host, for the watchdog, the boot units and local administrators.

The source comes from the loader of the running code, which also works inside the archive a module travels in. That
archive carries only what is imported, so `sources` imports the program, which imports all of ``FILES``. What only
modules need (facts, connections) stays away.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Dict

from .errors import DISK, TOOL, HostError
from .state import LIBRARY, State, write_durably

PACKAGE = "microseg_host"
FILES = (
    "arm",
    "boot",
    "breakglass",
    "cli",
    "clock",
    "confirm",
    "conntrack",
    "errors",
    "guard",
    "install",
    "listing",
    "machine",
    "nft",
    "payload",
    "programs",
    "removal",
    "revert",
    "sockets",
    "state",
    "systemd",
    "text",
    "transaction",
    "trust",
    "units",
    "watchdog",
)

_ENTRY = '''#!{python} -I
"""Entry of bulkhead.microseg on this host: microseg-host --help"""

import os
import sys

LIBRARY = os.path.dirname(os.path.realpath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, LIBRARY)

from microseg_host.cli import main

sys.exit(main(sys.argv[1:], os.path.dirname(LIBRARY)))
'''


def sources() -> Dict[str, str]:
    """File name -> text of every file of this package, out of whatever the running code was loaded from."""
    from . import cli  # noqa: F401  so that the archive of a module carries it; not above, for it imports this file

    package = __name__.rpartition(".")[0]
    texts = {"__init__.py": _source(package)}
    for name in FILES:
        texts[name + ".py"] = _source(package + "." + name)
    return texts


def _source(name: str) -> str:
    module = importlib.import_module(name)
    get_source = getattr(getattr(module.__spec__, "loader", None), "get_source", None)
    text = get_source(name) if get_source is not None else None
    if isinstance(text, bytes):
        text = text.decode("utf-8")  # the loader of collections, in tests on the controller
    if not isinstance(text, str):
        raise HostError(TOOL, "the source of {0} cannot be read. Nothing was changed.".format(name))
    return text


def ensure(state: State) -> None:
    """Write what differs. Each file is whole at any moment; a guard that runs has its code in memory."""
    library = state.path(LIBRARY)
    try:
        os.makedirs(os.path.join(library, PACKAGE), mode=0o700, exist_ok=True)
        for name, text in sources().items():
            _put(os.path.join(library, PACKAGE, name), text, 0o600)
        _put(state.entry, _ENTRY.format(python=sys.executable or "/usr/bin/python3"), 0o700)
    except OSError as error:
        raise HostError(DISK, "{0} cannot be written: {1}. Nothing was changed.".format(library, error)) from error


def _put(path: str, text: str, mode: int) -> None:
    try:
        with open(path, encoding="utf-8") as source:
            if source.read() == text:
                return
    except (OSError, ValueError):
        pass
    write_durably(path + ".new", text, mode)
    os.replace(path + ".new", path)
