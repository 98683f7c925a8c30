"""The API commands.

Each command is a row: which parameters it cannot do without, which of them name an entity, and
the function that does the work. The common part (parse, look up, refuse in the server's order and
words) happens once, in `Api.execute`. Synchronous functions return the inside of the answer;
asynchronous ones return a piece of work for the job runner.

Commands that create something differ in one nasty detail. Their entity is made before the job
is, and only the making of the job finds out that a client-chosen job id was used before. So a
repeated create is refused and leaves a second entity behind; that happens here simply because the
function that makes the row runs before `JobRunner.submit`.
"""

import re
from dataclasses import dataclass
from types import SimpleNamespace

from . import errors, ids
from .errors import GENERIC, PARAM_ERROR, ApiError, invalid
from .jobs import Plan
from .world import stamp
from .works import Attach, Destroy, Detach, Rename, Resize, Work

MAX_PAGE = 500

# Line feed and carriage return pass; tab and delete do not.
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Command:
    function: object
    needs: tuple = ()
    refs: tuple = ()            # (parameter, kind of entity)
    numbers: tuple = ()
    makes_job: bool = False
    creates: bool = False       # the answer carries the new entity's id
    after: object = None        # runs without the world's lock, before the answer


class Api:
    def __init__(self, sim):
        self.sim = sim
        self.world = sim.world

    def execute(self, name, params, faults):
        """Run one authenticated command and return the inside of its answer."""
        command = COMMANDS[name]
        with self.world.lock:
            args = self._arguments(name, command, params)
            outcome = command.function(self, args)
            if command.makes_job:
                outcome = self._submit(name, command, outcome, params, faults)
        if command.after:
            command.after(self, args)
        return outcome

    def _submit(self, name, command, work, params, faults):
        settings = self.sim.settings
        job = self.sim.jobs.submit(name, work, params.get("customjobid"),
                                   Plan.make(settings, faults), settings.ignore_customjobid)
        return {"id": job.volume_id, "jobid": job.id} if command.creates else {"jobid": job.id}

    def _arguments(self, name, command, params):
        for key, value in params.items():
            if _CONTROL.search(value):
                raise ApiError(PARAM_ERROR,
                               f"Received value {value} for parameter {key} is invalid, contains "
                               "illegal ASCII non-printable characters", GENERIC)
        args = {key: value for key, value in params.items() if value != ""}
        for key in command.needs:
            if key not in args:
                raise errors.missing(name, key)
        for key in command.numbers:
            if key in args:
                args[key] = _number(name, key, args[key])
        for key, kind in command.refs:
            if key in args:
                args[key] = self._entity(name, key, kind, args[key])
        if "ids" in args:
            args["ids"] = [self._entity(name, "ids", command.refs[0][1], one.strip())
                           for one in args["ids"].split(",")]
        return _Arguments(args)

    def _entity(self, name, key, kind, value):
        rows = getattr(self.world, kind) if kind else {}
        if value not in rows:
            raise errors.bad_value(name, key, value)
        return rows[value]

    # -- volumes

    def create_volume(self, args):
        offering = args.diskofferingid
        if offering is None:
            raise invalid("Either disk Offering Id or snapshot Id must be passed whilst "
                          "creating volume")
        size = self._new_size(offering, args.size)
        volume = self.world.add_volume(name=args.name or self.world.new_uuid(),
                                       zone=args.zoneid.id, offering=offering.id, size=size)
        return Work(self.sim, volume)

    def _new_size(self, offering, gib):
        settings = self.sim.settings
        if not offering.custom:
            if gib is not None:
                raise invalid("This disk offering does not allow custom size")
            return offering.size
        if gib is None:
            raise invalid("This disk offering requires a custom size specified")
        if not settings.min_size_gib <= gib <= settings.max_size_gib:
            raise invalid(f"Volume size: {gib}GB is out of allowed range. "
                          f"Min: {settings.min_size_gib}. Max: {settings.max_size_gib}")
        return gib * ids.GIB

    def attach_volume(self, args):
        return Attach(self.sim, args.id, args.virtualmachineid, args.deviceid)

    def detach_volume(self, args):
        return Detach(self.sim, args.id)

    def destroy_volume(self, args):
        return Destroy(self.sim, args.id, _truth(args.expunge))

    def delete_volume(self, args):
        work = Destroy(self.sim, args.id, expunge=True)
        work.check()
        work.finish()
        self.world.notify()
        return {"success": True}

    def forget_contents(self, args):
        self.sim.plug.forget(args.id.id)

    def resize_volume(self, args):
        return Resize(self.sim, args.id, args.size, _truth(args.shrinkok))

    def update_volume(self, args):
        return Rename(self.sim, args.id, args.name)

    def list_volumes(self, args):
        rows = [v for v in self.world.volumes.values() if not v.removed]
        rows = _filtered(rows, args, zone=args.zoneid, vm=args.virtualmachineid,
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
        return _listed("volume", rows, self.world.volume_row, args)

    # -- the rest of the house

    def list_virtual_machines(self, args):
        rows = _filtered(self.world.machines.values(), args, zone=args.zoneid)
        for part in (args.name, args.keyword):
            if part:
                rows = [m for m in rows if part.lower() in m.name.lower()]
        if args.state:
            rows = [m for m in rows if m.state == args.state]
        return _listed("virtualmachine", rows, self.world.machine_row, args)

    def list_zones(self, args):
        rows = _filtered(self.world.zones.values(), args)
        return _listed("zone", rows, self.world.zone_row, args)

    def list_disk_offerings(self, args):
        rows = _filtered(self.world.offerings.values(), args)
        if args.name:
            rows = [o for o in rows if o.name == args.name]
        return _listed("diskoffering", rows, self.world.offering_row, args)

    def list_capabilities(self, args):
        settings = self.sim.settings
        return {"capability": {
            "securitygroupsenabled": False, "cloudstackversion": "4.23.0.0",
            "customdiskofferingminsize": settings.min_size_gib,
            "customdiskofferingmaxsize": settings.max_size_gib,
            "kvmsnapshotenabled": True, "allowuserexpungerecovervolume": True}}

    # -- jobs

    def query_job(self, args):
        job = args.jobid
        if job is None and args.resourceid:
            job = next((j for j in reversed(self.world.jobs.values())
                        if j.volume_id == args.resourceid), None)
            if job is None:
                raise errors.bad_value("queryAsyncJobResult", "resourceid", args.resourceid)
        if job is None:
            raise errors.missing("queryAsyncJobResult", "jobid")
        return job.row(self.sim.jobs.poll(job))

    def list_jobs(self, args):
        # Every job shown has been looked at, which is what a job made to linger counts.
        jobs = [j for j in list(self.world.pending.values()) if self.sim.jobs.poll(j)]
        if args.keyword:
            jobs = [j for j in jobs if args.keyword.lower() in j.cmd.lower()]
        if args.startdate:
            jobs = [j for j in jobs if stamp(j.created) >= args.startdate]
        return _listed("asyncjobs", jobs, lambda job: job.row(pending=True), args)


class _Arguments(SimpleNamespace):
    """Parameters as attributes; one that was not given is None."""

    def __init__(self, values):
        super().__init__(**values)

    def __getattr__(self, _):
        return None


def _number(command, key, text):
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise errors.bad_value(command, key, text)
    return int(text)


def _truth(text):
    return (text or "").lower() == "true"


def _filtered(rows, args, **references):
    """Rows by `id`, `ids` and the given references to other entities."""
    rows = list(rows)
    if args.id:
        rows = [r for r in rows if r is args.id]
    if args.ids:
        rows = [r for r in rows if r in args.ids]
    for attribute, entity in references.items():
        if entity:
            rows = [r for r in rows if getattr(r, attribute) == entity.id]
    return rows


def _listed(key, rows, shape, args):
    """One page. `count` is the number of all matches; no matches at all leave nothing."""
    first, size = _page(args)
    if not rows:
        return {}
    page = rows[first:] if size is None else rows[first:first + size]
    answer = {"count": len(rows)}
    if page:
        answer[key] = [shape(row) for row in page]
    return answer


def _page(args):
    """(first, size); size None is unlimited."""
    page, size = args.page, args.pagesize
    if page is None and size is None:
        return 0, MAX_PAGE
    if page is None and size == -1:
        return 0, None
    if page is None:
        raise ApiError(PARAM_ERROR, '"page" parameter is required when "pagesize" is specified',
                       GENERIC)
    if size is None:
        raise ApiError(PARAM_ERROR, '"pagesize" parameter is required when "page" is specified',
                       GENERIC)
    if size > MAX_PAGE:
        raise invalid(f"Page size can't exceed max allowed page size value: {MAX_PAGE}")
    return (max(page, 1) - 1) * max(size, 0), max(size, 0)


def _job(function, *, needs=("id",), refs=(), **rest):
    return Command(function, needs=needs, refs=(("id", "volumes"), *refs), makes_job=True, **rest)


def _list(function, kind, *refs, **rest):
    return Command(function, refs=(("id", kind), *refs), numbers=("page", "pagesize"), **rest)


_ZONE, _VM = ("zoneid", "zones"), ("virtualmachineid", "machines")

COMMANDS = {
    # There are no snapshots here, so every snapshotid is one the cloud has never known.
    "createVolume": _job(Api.create_volume, needs=("zoneid",), creates=True, numbers=("size",),
                         refs=(_ZONE, ("diskofferingid", "offerings"), ("snapshotid", None))),
    "attachVolume": _job(Api.attach_volume, needs=("id", "virtualmachineid"), refs=(_VM,),
                         numbers=("deviceid",)),
    "detachVolume": _job(Api.detach_volume),
    "destroyVolume": _job(Api.destroy_volume),
    "deleteVolume": Command(Api.delete_volume, needs=("id",), refs=(("id", "volumes"),),
                            after=Api.forget_contents),
    "resizeVolume": _job(Api.resize_volume, needs=("id", "size"), numbers=("size",)),
    "updateVolume": _job(Api.update_volume),
    "listVolumes": _list(Api.list_volumes, "volumes", _ZONE, _VM, ("diskofferingid", "offerings")),
    "listVirtualMachines": _list(Api.list_virtual_machines, "machines", _ZONE),
    "listZones": _list(Api.list_zones, "zones"),
    "listDiskOfferings": _list(Api.list_disk_offerings, "offerings", _ZONE),
    "listCapabilities": Command(Api.list_capabilities),
    "queryAsyncJobResult": Command(Api.query_job, refs=(("jobid", "jobs"),)),
    "listAsyncJobs": Command(Api.list_jobs, numbers=("page", "pagesize")),
}
