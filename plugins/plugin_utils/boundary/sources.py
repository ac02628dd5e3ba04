# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The inventory of the command line: what ansible-playbook would see with the same -i, -e and vault options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecretsContext
from ansible.utils import vars as ansible_vars
from ansible.utils.path import unfrackpath
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ..model.errors import EstateError
from .errors import one_line
from .inventory import Inventory, unread_sources
from .loader import use_collections


@dataclass(frozen=True, slots=True)
class Sources:
    """Options as given. Without `inventories` the inventory of the Ansible configuration is used."""

    inventories: tuple[str, ...] = ()
    extra_vars: tuple[str, ...] = ()
    vault_ids: tuple[str, ...] = ()
    vault_password_files: tuple[str, ...] = ()


def open_inventory(sources: Sources) -> Inventory:
    """Raises EstateError: E-INVENTORY, E-EXTRA-VARS, E-VAULT (a password that cannot be read).

    Variables beside a playbook (its group_vars) do not count, as they do not for the playbooks of this collection.
    """
    with _ansible_errors():
        use_collections()
        context.CLIARGS = ImmutableDict(extra_vars=sources.extra_vars)
        ansible_vars.load_extra_vars.extra_vars = None  # Ansible keeps those of the first inventory of a process
        loader = DataLoader()
        _open_vault(loader, sources)
        names = [str(name) for name in sources.inventories or constants.DEFAULT_HOST_LIST]
        for name in names:
            if "," not in name and not os.path.exists(name):
                raise EstateError("E-INVENTORY", f"there is no inventory {name}.", hint="Name one with -i.")
        # whole paths, as the command lines of Ansible make them: group_vars beside a relative file are not found else
        paths = [name if "," in name else unfrackpath(name, follow=False) for name in names]
        manager = InventoryManager(loader=loader, sources=paths)
        variables = VariableManager(loader=loader, inventory=manager)
        variables.safe_basedir = False
        return Inventory(HostVars(manager, variables, loader), names, unread_sources(manager), variables.extra_vars)


def _open_vault(loader: DataLoader, sources: Sources) -> None:
    from ansible.cli import CLI  # checks terminal and locale when imported

    try:
        secrets = CLI.setup_vault_secrets(
            loader,
            vault_ids=[*constants.DEFAULT_VAULT_IDENTITY_LIST, *sources.vault_ids],
            vault_password_files=list(sources.vault_password_files),
            auto_prompt=False,
            initialize_context=False,
        )
    except (AnsibleError, EOFError) as error:
        raise EstateError("E-VAULT", f"the vault password cannot be read: {one_line(error)}") from None
    loader.set_vault_secrets(secrets)
    current = VaultSecretsContext.current(optional=True)
    if current is None:
        VaultSecretsContext.initialize(VaultSecretsContext(secrets))
    else:
        current.secrets = secrets


@contextmanager
def _ansible_errors() -> Iterator[None]:
    try:
        yield
    except AnsibleError as error:
        raise EstateError("E-INVENTORY", f"the inventory cannot be read: {one_line(error)}") from None
    except SystemExit as error:
        raise EstateError("E-INVENTORY", f"Ansible cannot start: {error.code}") from None
