# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands about virtual machines and their snapshots."""

from .command import Command, truth
from .lists import listed, referring, visible
from .machine_works import DeleteSnapshot, DestroyMachine, Start, Stop, TakeSnapshot


def start(call):
    return Start(call, call.args.id)


def stop(call):
    return Stop(call, call.args.id)


def destroy(call):
    return DestroyMachine(call, call.args.id, truth(call.args.expunge))


def list_machines(call):
    args = call.args
    rows = referring(visible(call, call.world.machines.values()), zone=args.zoneid)
    for part in (args.name, args.keyword):
        if part:
            rows = [m for m in rows if part.lower() in m.name.lower()]
    if args.state:
        rows = [m for m in rows if m.state == args.state]
    return listed(call, "virtualmachine", rows,
                  lambda machine: call.rows.machine(machine, args.details))


def take_snapshot(call):
    return TakeSnapshot(call, call.args.virtualmachineid)


def delete_snapshot(call):
    return DeleteSnapshot(call, call.args.vmsnapshotid)


def list_snapshots(call):
    rows = referring(visible(call, call.world.machine_snapshots.values()),
                     vm=call.args.virtualmachineid)
    return listed(call, "vmSnapshot", rows, call.rows.machine_snapshot)


def _job(function, class_name):
    return Command(function, "vm", class_name, needs=("id",), refs=(("id", "machines"),),
                   makes_job=True)


_VM = ("virtualmachineid", "machines")
_SNAPSHOT = {"package": "vmsnapshot", "for_admins": False, "makes_job": True}
_PAGES = ("page", "pagesize")

COMMANDS = {
    "startVirtualMachine": _job(start, "StartVM"),
    "stopVirtualMachine": _job(stop, "StopVM"),
    "destroyVirtualMachine": _job(destroy, "DestroyVM"),
    "listVirtualMachines": Command(list_machines, lists=True, numbers=_PAGES,
                                   refs=(("id", "machines"), ("zoneid", "zones"))),
    "createVMSnapshot": Command(take_snapshot, needs=("virtualmachineid",), refs=(_VM,),
                                creates=True, **_SNAPSHOT),
    "deleteVMSnapshot": Command(delete_snapshot, needs=("vmsnapshotid",),
                                refs=(("vmsnapshotid", "machine_snapshots"),), **_SNAPSHOT),
    "listVMSnapshot": Command(list_snapshots, lists=True, refs=(_VM,), numbers=_PAGES),
}
