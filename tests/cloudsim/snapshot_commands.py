# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands about snapshots of volumes."""

from .accounts import check_snapshots
from .command import Command
from .errors import invalid
from .lists import listed, referring, visible
from .snapshot_works import Delete, Revert, Take


def create_snapshot(call):
    volume = call.args.volumeid
    if volume.state != "Ready":
        raise invalid(call.version.text("snapshot not ready", number=volume.serial_number,
                                        volume=volume.name, state=volume.state))
    check_snapshots(call.world.accounts[volume.owner],
                    [s for s in call.world.snapshots.values() if s.owner == volume.owner])
    name = call.args.name or f"{volume.name}_{call.world.new_uuid()[:8]}"
    return Take(call, volume, call.world.add_snapshot(volume, name))


def revert_snapshot(call):
    return Revert(call, call.args.id)


def delete_snapshot(call):
    return Delete(call, call.args.id)


def list_snapshots(call):
    args = call.args
    rows = referring(visible(call, call.world.snapshots.values()), volume=args.volumeid)
    if args.name:
        rows = [s for s in rows if s.name.lower() == args.name.lower()]
    rows.sort(key=lambda s: -s.serial_number)
    return listed(call, "snapshot", rows, call.rows.snapshot)


def _job(function, *, needs="id", kind="snapshots", **rest):
    return Command(function, "snapshot", for_admins=False, needs=(needs,),
                   refs=((needs, kind),), makes_job=True, **rest)


COMMANDS = {
    "createSnapshot": _job(create_snapshot, needs="volumeid", kind="volumes", creates=True,
                           texts=(("name", "snapshotName"),)),
    "revertSnapshot": _job(revert_snapshot),
    "deleteSnapshot": _job(delete_snapshot, takes_removed=True),
    "listSnapshots": Command(list_snapshots, lists=True, numbers=("page", "pagesize"),
                             refs=(("id", "snapshots"), ("volumeid", "volumes"))),
}
