# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs on a Linux host: load a policy, arm its revert, confirm it, restore it at boot.

The same files run in two places: inside a module sent by Ansible, and as the plain package ``microseg_host`` that
`install.py` puts into the state directory for the watchdog, the boot units and local administrators. Hence: relative
imports only, nothing but the standard library, Python 3.8.
"""

from __future__ import annotations
