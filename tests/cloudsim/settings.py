# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings: what kind of cloud this is.

A behaviour that differs between servers is a setting, so that a test can choose. `version` stands
for all that two versions are known to do differently (`versions.py`); where the daemon cannot yet
bear what the observed 4.18 does, a setting of its own says otherwise.
"""

import json
import textwrap
from dataclasses import dataclass, field, fields

from .plug import BUSES
from .versions import VERSIONS

HYPERVISORS = ("KVM", "Simulator")


def setting(default, help):
    return field(default=default, metadata={"help": help})


@dataclass
class Settings:
    # -- time
    job_delay: float = setting(0.05, "from a job's turn to its end, seconds")
    plug_delay: float = setting(0.0, "from a job's turn to the change in the guest")
    queue_delay: float = setting(0.0, "until a machine's queue looks at a new job")
    row_delay: float = setting(0.0, "a list takes so long for each of its rows")
    idle_timeout: float = setting(30.0, "silent connections are closed after so many seconds")
    clock: float = setting(0.0, "how far the server's clock is ahead, seconds")
    proxy_date: float | None = setting(
        None, "a proxy's Date header is ahead by so many seconds; null: none, as without a proxy")

    # -- the way to the server
    certificate: str | None = setting(
        None, "file with certificate and key: TLS from now on, at the address of `url`")
    redirect: str | None = setting(
        None, "every request is redirected to this address, the query repeated; null: none is")

    # -- what the server is
    version: str = setting("4.18", f"of the server: {' or '.join(VERSIONS)}")
    hypervisor: str = setting("KVM", f"{' or '.join(HYPERVISORS)}, which reverts no snapshot")
    bus: str = setting("virtio", f"of disks plugged from now on: {', '.join(BUSES)}")
    enforce_post: bool = setting(True, "POST, signature version 3 and a near expiry are a must")
    unknown_commands: tuple = setting((), "commands that the server does not know")
    maintenance: int | None = setting(
        None, "code that refuses every new job, as the server is about to stop: 503, or 530 as "
             "with older versions; null: no maintenance")
    ignore_customjobid: bool = setting(False, "as a server that does not know the parameter")
    repeated_job: int | None = setting(
        None, "code of a repeated customjobid: 431, or 530 `Entity already exists `; "
             "null: the version's")
    rename_ignored: bool = setting(
        False, "updateVolume succeeds and renames nothing, as before 4.16")
    view_all_accounts: bool = setting(
        False, "allow.user.view.all.domain.accounts: a list shows all accounts of the domain")
    users_expunge: bool = setting(
        True, "allow.user.expunge.recover.volume: ordinary users may expunge")
    restart_removes: bool | None = setting(
        False, "restart removes the volumes of lost jobs, unless attached; null: the version's")
    narrow_names: bool = setting(
        True, "a character outside the basic plane is 530 with SQL in a name or a list by name")

    one_task_a_vm: bool = setting(
        False, "attach, detach and resize are refused while a volume of the machine is snapshotted")

    # -- jobs whose word is not what they did
    fail_but_do: tuple = setting((), "commands whose jobs fail with 530 and do it all the same")
    succeed_but_do_not: tuple = setting((), "commands whose jobs succeed and do nothing")
    storage_unit_gib: int = setting(
        1, "a volume's first attachment rounds its size up to a multiple, as some storages do")

    # -- limits
    max_data_volumes: int = setting(32, "per machine; the simulator hypervisor takes 6")
    pci_slots: int | None = setting(
        None, "of a running machine, for data disks; null: enough")
    slots_of_guest: bool = setting(
        False, "the hypervisor refuses a disk whose slot, or whose image, it has in use, whatever "
               "the rows say: what KVM does after a late detach; false: what is plugged is plugged")
    min_size_gib: int = setting(1, "of a new volume")
    max_size_gib: int = setting(1024, "of a new volume")
    max_volume_gib: int = setting(2000, "of a resized volume")

    # -- lists
    page_size: int = setting(500, "default.page.size: rows without paging, and the largest page")
    count_is_page: bool = setting(False, "`count` is the length of the page, not of all")
    endless_list: bool = setting(False, "every page of volumes is full, however far")
    row_bytes: int = setting(0, "each volume in a list carries so many bytes more")
    hide_deviceid: bool = setting(False, "volumes have no deviceid")

    def set(self, **values):
        """Change several, or none of them if one is wrong."""
        known = {f.name for f in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no setting {name}")
            if value not in _CHOICES.get(name, [value]):
                raise ValueError(f"no {name} {value}")
        for name, value in values.items():
            setattr(self, name, value)


_CHOICES = {"bus": BUSES, "hypervisor": HYPERVISORS, "version": VERSIONS,
            "repeated_job": (431, 530, None), "maintenance": (503, 530, None)}


def _help():
    lines = []
    for f in fields(Settings):
        text = textwrap.wrap(f.metadata["help"], 69)
        head = f"  {f.name} {json.dumps(f.default)}"
        # What is too long to stand before its text stands above it.
        lines.append(f"{head:26} {text.pop(0)}" if len(head) < 27 else head)
        lines += [" " * 27 + line for line in text]
    return "\n".join(lines)


HELP = f"settings (\"set\") and their defaults:\n{_help()}\n"
