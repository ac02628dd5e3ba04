# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes every module of this collection states, in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    # What every module states; the module itself adds the support of check_mode and diff_mode.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff
      mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
"""

    # For modules that only read.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not modify state.
  diff_mode:
    support: N/A
    details:
      - This module does not modify state.
  idempotent:
    support: full
    details:
      - This module does not modify state.
"""

    # For modules that gather facts.
    FACTS = r"""
options: {}
attributes:
  facts:
    description: Action returns an C(ansible_facts) dictionary that will update existing host facts.
"""

    FACTS_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not modify state.
  diff_mode:
    support: N/A
    details:
      - This module does not modify state.
  idempotent:
    support: full
    details:
      - This module does not modify state.
  facts:
    support: full
"""

    # For action plugins that run on the controller, for the whole estate at once.
    ACTION_ONCE = r"""
options: {}
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
  bypass_host_loop:
    description: Forces a C(global) task that does not execute per host, this bypasses per host templating and serial,
      throttle and other loop considerations.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    platforms: all
    support: full
"""

    # For modules that run on a Linux target.
    LINUX = r"""
options: {}
attributes:
  platform:
    description: Target OS/families that can be operated against.
    platforms: linux
    support: full
"""
