# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unit tests need the collection loader also when they are run alone, as ansible-test does."""

from __future__ import annotations

import warnings

try:
    from ansible.plugins.loader import init_plugin_loader
except ModuleNotFoundError:
    pass  # ansible-test hides all but ansible.module_utils from tests of modules and module_utils
else:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
        init_plugin_loader()
