# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands about volumes and their tags.

Commands that create something differ in one nasty detail. Their entity is made before the job is,
and only the making of the job finds out that a client-chosen job id was used before. So a repeated
create is refused and leaves a second entity behind; that happens here simply because the function
that makes the row runs before `JobRunner.submit`.
"""

from . import ids
from .accounts import check_limits
from .command import Command, truth
from .errors import denied, invalid, outside_basic_plane, repeated_uuid
from .lists import listed, referring, visible
from .tag_works import CreateTags, DeleteTags
from .volume_works import Attach, Create, Destroy, Detach, Rename, Resize


def create_volume(call):
    args, world = call.args, call.world
    _check_customid(call)
    if args.zoneid is None:
        raise invalid("Unable to find zone by id null")
    offering, size = _source(call)
    _check_name(call)
    owner = args.projectid or call.account
    check_limits(owner, world.volumes_of(owner), size, more_volumes=1)
    volume = world.add_volume(id=args.customid, name=args.name or world.new_uuid(),
                              zone=args.zoneid.id, offering=offering, size=size, owner=owner.id,
                              snapshot=args.snapshotid and args.snapshotid.id)
    return Create(call, volume)


def _check_customid(call):
    if call.args.customid and not call.account.is_root:
        raise denied("Please check your permissions, you are not allowed to create/update custom "
                     "id")
    if call.args.customid in call.world.volumes:
        raise repeated_uuid(call.args.customid)


def _check_name(call):
    """Refuse a name that the database of a server with narrow names cannot compare."""
    name = call.args.name or ""
    if call.sim.settings.narrow_names and any(ord(letter) > 0xffff for letter in name):
        raise outside_basic_plane(name)


def _source(call):
    """(offering, size) of a new volume. A snapshot knows both, whatever size is given."""
    args = call.args
    if args.snapshotid:
        origin = call.world.volumes[args.snapshotid.volume]
        return origin.offering, args.snapshotid.size
    if args.diskofferingid is None:
        raise invalid(call.version.text("no offering"))
    return args.diskofferingid.id, _new_size(call, args.diskofferingid, args.size)


def _new_size(call, offering, gib):
    settings = call.sim.settings
    if gib is not None and gib <= 0:
        raise invalid("Disk size must be larger than 0")
    if not offering.custom:
        if gib is not None:
            raise invalid("This disk offering does not allow custom size")
        return offering.size
    if gib is None:
        raise invalid("This disk offering requires a custom size specified")
    if not settings.min_size_gib <= gib <= settings.max_size_gib:
        raise invalid(call.version.text("size range", gib=gib, least=settings.min_size_gib,
                                        most=settings.max_size_gib))
    return gib * ids.GIB


def attach_volume(call):
    return Attach(call, call.args.id, call.args.virtualmachineid, call.args.deviceid)


def detach_volume(call):
    return Detach(call, call.args.id)


def destroy_volume(call):
    return Destroy(call, call.args.id, truth(call.args.expunge))


def delete_volume(call):
    work = Destroy(call, call.args.id, expunge=True)
    work.check()
    work.finish()
    call.world.notify()
    return {"success": True}


def forget_contents(call):
    call.sim.plug.forget(call.args.id.id)


def resize_volume(call):
    return Resize(call, call.args.id, call.args.size, truth(call.args.shrinkok))


def update_volume(call):
    _check_name(call)
    return Rename(call, call.args.id, call.args.name)


def list_volumes(call):
    args = call.args
    _check_name(call)
    rows = visible(call, call.world.volumes.values())
    rows = referring(rows, zone=args.zoneid, vm=args.virtualmachineid,
                     offering=args.diskofferingid)
    if args.name:
        # The database compares names without regard to case.
        rows = [v for v in rows if v.name.lower() == args.name.lower()]
    if args.state:
        rows = [v for v in rows if v.state == args.state]
    if args.type:
        rows = [v for v in rows if v.type == args.type.upper()]
    if args.keyword:
        rows = [v for v in rows if args.keyword.lower()
                in f"{v.name}\0{v.type}\0{v.state}".lower()]
    rows.sort(key=lambda v: -v.serial_number)
    return listed(call, "volume", rows, call.rows.volume)


def create_tags(call):
    return CreateTags(call)


def delete_tags(call):
    return DeleteTags(call)


def list_tags(call):
    args, accounts = call.args, call.world.accounts
    rows = [tag for tag in call.world.tags if call.account.may_use(accounts[tag.owner])]
    for wanted, of in ((args.resourceid, "resource"), (args.resourcetype, "kind"),
                       (args.key, "key"), (args.value, "value")):
        if wanted:
            rows = [tag for tag in rows if getattr(tag, of).lower() == wanted.lower()]
    return listed(call, "tag", rows, call.rows.tag)


def _job(function, *, needs=("id",), refs=(), **rest):
    return Command(function, "volume", needs=needs, refs=(("id", "volumes"), *refs),
                   makes_job=True, **rest)


_ZONE, _VM = ("zoneid", "zones"), ("virtualmachineid", "machines")
_OFFERING = ("diskofferingid", "offerings")

COMMANDS = {
    "createVolume": _job(create_volume, needs=(), creates=True, numbers=("size",),
                         refs=(_ZONE, _OFFERING, ("snapshotid", "snapshots")),
                         texts=(("name", "volumeName"),)),
    "attachVolume": _job(attach_volume, needs=("id", "virtualmachineid"), refs=(_VM,),
                         numbers=("deviceid",)),
    "detachVolume": _job(detach_volume, needs=(), refs=(_VM,), numbers=("deviceid",)),
    "destroyVolume": _job(destroy_volume, takes_removed=True),
    "deleteVolume": Command(delete_volume, needs=("id",), refs=(("id", "volumes"),),
                            after=forget_contents),
    "resizeVolume": _job(resize_volume, numbers=("size",)),
    "updateVolume": _job(update_volume, texts=(("name", "name"),), blanks=("name",)),
    "listVolumes": Command(list_volumes, lists=True, numbers=("page", "pagesize"),
                           refs=(("id", "volumes"), _ZONE, _VM, _OFFERING),
                           texts=(("name", "volumeName"),)),
    "createTags": Command(create_tags, "tag", for_admins=False, makes_job=True,
                          needs=("resourceids", "resourcetype")),
    "deleteTags": Command(delete_tags, "tag", for_admins=False, makes_job=True,
                          needs=("resourceids", "resourcetype")),
    "listTags": Command(list_tags, lists=True, numbers=("page", "pagesize")),
}
