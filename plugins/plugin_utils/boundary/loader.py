# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ansible's collection loader, in a process that was not started by Ansible.

The command line is imported by Python itself, as part of a namespace package that knows only the directory it lies in.
Inventory plugins of other collections are found by Ansible's loader, which wants to have imported the packages above.
"""

from __future__ import annotations

import importlib
import sys

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

#: The packages that Ansible's loader gives search paths and metadata; what lies below stays as it was imported.
_ABOVE = ("ansible_collections", "ansible_collections.bulkhead", "ansible_collections.bulkhead.microseg")


def use_collections() -> None:
    """Make the collections of the configuration importable; nothing happens where Ansible did that already."""
    if AnsibleCollectionConfig.collection_finder is not None:
        return
    init_plugin_loader()
    before = {name: sys.modules.pop(name) for name in _ABOVE if name in sys.modules}
    for name in before:
        package = importlib.import_module(name)
        for attribute, value in vars(before[name]).items():
            if not attribute.startswith("_"):
                vars(package).setdefault(attribute, value)
