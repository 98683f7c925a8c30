# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows as the API shows them.

Which fields are there depends on the row (a volume that was never attached has no storage), on the
version, and on the caller: only a root administrator is told where on the hardware a thing is. A
field without a value is left out, never null.
"""

from . import ids
from .world import stamp

# Parts of the cloud that only show in rows.
_POD = {"podid": "5f6b0c1d-83a2-4e97-b1c4-7d20e9f3a856", "podname": "pod-1"}
_CLUSTER = {"clusterid": "a9d37e52-1b40-4c86-9f2e-60c8b5d7143a", "clustername": "cluster-1"}
_STORAGE = {"storage": "primary-1", "storageid": "c2e8f4a6-9d13-4b75-8e60-3f7a1d5c92b4"}
_HOST = {"hostid": "e07c4b92-5a38-4df1-96b3-18f2a7d0c65e", "hostname": "host-1"}
_GUEST_OS, _OS_NAME = "71d3c9e5-0b84-4a2f-8c67-e5f1903ab2d8", "Debian GNU/Linux 12 (64-bit)"
_TEMPLATE = {"templateid": "b6a1f03d-47e9-4c52-8d7b-29c05e8f61a4", "templatename": "debian-12",
             "templatedisplaytext": "debian-12"}
_SERVICE_OFFERING = {"serviceofferingid": "0d9e7c31-f254-4b86-a3d0-84b6e1c97f25",
                     "serviceofferingname": "tiny"}
_SERVER = {"managementserverid": "0f6a9d12-7b3c-4e58-91d4-c2a85e07b36f",
           "managementservername": "cloudsim"}
_NETWORK = "6e2b8d40-c7f5-4913-a8de-05f1b93c7a64"
_ZONE_TOKEN = "94f0a7c8-3d61-4e2b-b5f9-d81c60e7a235"


class Rows:
    """How things look to one caller."""

    def __init__(self, sim, viewer):
        self._world = sim.world
        self._settings = sim.settings
        self._version = sim.version
        self._viewer = viewer

    def _owner(self, row):
        return self._world.accounts[row.owner].row()

    def _zone(self, id):
        return {"zoneid": id, "zonename": self._world.zones[id].name}

    # -- volumes

    def volume(self, v):
        settings = self._settings
        hidden = v.state == "Destroy" or (v.removed and not self._viewer.admin)
        row = {"id": v.id, "name": v.name, **self._zone(v.zone), "type": v.type, "size": v.size,
               "created": stamp(v.created),
               "state": "Destroy" if v.removed and hidden else v.state, **self._owner(v),
               "provisioningtype": "thin", "displayvolume": True, "hasannotations": False,
               "quiescevm": False, "supportsstoragesnapshot": False, "destroyed": hidden,
               "isextractable": v.type != "ROOT" or v.vm is None,
               "tags": [self.tag(tag) for tag in self._world.tags_of(v.id)],
               **self._made_as(v)}
        if v.vm and not hidden:
            row |= self._attachment(v)
        if self._viewer.admin:
            row |= self._storage(v)
        if self._version.later_fields:
            row["deleteprotection"] = v.protected
        if settings.row_bytes:
            row["chaininfo"] = "x" * settings.row_bytes
        if settings.hide_deviceid:
            row.pop("deviceid", None)
        return row | self._job_on("Volume", v.id)

    def _job_on(self, kind, id):
        job = self._world.job_on(kind, id)
        return {"jobid": job.id, "jobstatus": 0} if job else {}

    def _made_as(self, v):
        """What a volume was made from or by."""
        if not v.from_template:
            offering = self._world.offerings[v.offering]
            row = {"diskofferingid": offering.id, "diskofferingname": offering.name,
                   "diskofferingdisplaytext": offering.name}
            return row | ({"snapshotid": v.snapshot} if v.snapshot else {})
        name = _SERVICE_OFFERING["serviceofferingname"]
        # The server tells the offering's database key in place of its id.
        return {**_TEMPLATE, "serviceofferingid": "11", "serviceofferingname": name,
                "serviceofferingdisplaytext": name, "physicalsize": v.size,
                "virtualsize": v.size, "utilization": "100.0%"}

    def _attachment(self, v):
        machine = self._world.machines[v.vm]
        row = {"virtualmachineid": v.vm, "vmname": machine.name, "vmdisplayname": machine.name,
               "vmstate": machine.state, "deviceid": v.deviceid, "diskioread": 0,
               "diskiowrite": 0, "diskkbsread": 0, "diskkbswrite": 0}
        return row | ({"attached": stamp(v.attached)} if v.attached else {})

    def _storage(self, v):
        if v.path is None:
            return {"storagetype": "shared", "hypervisor": "None"}
        return {"storagetype": "shared", "hypervisor": self._settings.hypervisor, "path": v.path,
                **_POD, **_CLUSTER, **_STORAGE}

    # -- snapshots and tags

    def snapshot(self, s):
        volume = self._world.volumes[s.volume]
        return {"id": s.id, "name": s.name, **self._owner(s), "created": stamp(s.created),
                "state": s.state, "snapshottype": "MANUAL", "intervaltype": "MANUAL",
                "physicalsize": 0, "virtualsize": s.size, "volumeid": volume.id,
                "volumename": volume.name, "volumetype": volume.type, "zoneid": volume.zone,
                "revertable": self._settings.hypervisor == "KVM", "hasannotations": False,
                "tags": [self.tag(tag) for tag in self._world.tags_of(s.id)]}

    def machine_snapshot(self, s):
        machine = self._world.machines[s.vm]
        return {"id": s.id, "name": s.name, "displayname": s.name, **self._owner(s),
                "created": stamp(s.created), "state": s.state, "type": "Disk", "current": True,
                "virtualmachineid": machine.id, "virtualmachinename": machine.name,
                "hypervisor": self._settings.hypervisor, **self._zone(machine.zone),
                "hasannotations": False, "tags": []}

    def tag(self, tag):
        return {"key": tag.key, "value": tag.value, "resourceid": tag.resource,
                "resourcetype": tag.kind, **self._owner(tag)}

    # -- machines

    def machine(self, m, details="all"):
        """A machine; `details` "min" leaves out what costs the server most."""
        user = self._world.accounts[m.owner]
        row = {"id": m.id, "name": m.name, "displayname": m.name, **self._owner(m),
               "instancename": self._world.instance_name(m), "created": stamp(m.created),
               "lastupdated": stamp(m.created), "state": m.state, **self._zone(m.zone),
               "hypervisor": self._settings.hypervisor, "guestosid": _GUEST_OS,
               "ostypeid": _GUEST_OS, "osdisplayname": _OS_NAME, "userid": user.user,
               "username": user.name, "displayvm": True, "haenable": False,
               "hasannotations": False, "isdynamicallyscalable": False, "pooltype":
               "NetworkFilesystem", "receivedbytes": 0, "sentbytes": 0, "affinitygroup": [],
               "securitygroup": [], "nic": [], "tags": [], "details": {}}
        row |= self._job_on("VirtualMachine", m.id)
        if m.state == "Running" and self._viewer.admin:
            row |= _HOST
        if details == "min":
            return row | {"bootmode": "legacy", "boottype": "Bios"}
        return row | self._machine_at_length(m)

    def _machine_at_length(self, m):
        row = {**_TEMPLATE, **_SERVICE_OFFERING, "cpunumber": 1, "cpuspeed": 100, "memory": 128,
               "passwordenabled": False, "rootdeviceid": 0, "rootdevicetype": "ROOT",
               "nic": [self._nic(m)], "details": {"Message.ReservedCapacityFreed.Flag": "false"}}
        # A machine once started from a volume of another kind shows that volume's offering.
        if m.offering:
            offering = self._world.offerings[m.offering]
            row |= {"diskofferingid": offering.id, "diskofferingname": offering.name}
        return row

    def _nic(self, m):
        nic = {"id": f"{m.id[:-12]}{m.serial_number:012x}", "networkid": _NETWORK,
               "networkname": "network-1", "deviceid": "0", "gateway": "192.0.2.1",
               "ipaddress": "192.0.2.9", "netmask": "255.255.255.0",
               "macaddress": f"02:00:00:00:00:{m.serial_number % 256:02x}", "isdefault": True,
               "traffictype": "Guest", "type": "Isolated", "secondaryip": [],
               "extradhcpoption": []}
        if m.state == "Running":
            nic |= {"broadcasturi": "vlan://100", "isolationuri": "vlan://100"}
        return nic

    # -- accounts and projects

    def _resources(self, owner):
        """What an owner may have, has, and may have besides. Storage counts in whole GiB."""
        volumes = self._world.volumes_of(owner)
        snapshots = [s for s in self._world.snapshots.values()
                     if s.owner == owner.id and not s.removed]
        row = {}
        for name, limit, total in (
                ("volume", owner.limit_volumes, len(volumes)),
                ("primarystorage", owner.limit_gib, sum(v.size for v in volumes) // ids.GIB),
                ("snapshot", owner.limit_snapshots, len(snapshots))):
            limit = None if owner.is_root else limit
            row |= {f"{name}limit": "Unlimited" if limit is None else str(limit),
                    f"{name}total": total,
                    f"{name}available": "Unlimited" if limit is None else str(limit - total)}
        return row

    def account(self, a):
        kind, role = (1, "Root Admin") if a.is_root else (2, "Domain Admin") if a.admin else (0, "User")
        return {"id": a.id, "name": a.name, "accounttype": kind, "rolename": role,
                "domainid": a.domain.id,
                "domain": a.domain.name, "state": "enabled", "isdefault": a.admin,
                **self._resources(a), "user": [], "groups": []}

    def project(self, a):
        return {"id": a.project, "name": a.name, "displaytext": a.name, "domainid": a.domain.id,
                "domain": a.domain.name, "state": "Active", **self._resources(a), "tags": []}

    # -- zones and offerings

    def zone(self, z):
        return {"id": z.id, "name": z.name, "networktype": "Advanced",
                "allocationstate": "Enabled", "localstorageenabled": False,
                "dhcpprovider": "VirtualRouter", "dns1": "192.0.2.53",
                "internaldns1": "192.0.2.53", "guestcidraddress": "10.1.1.0/24",
                "securitygroupsenabled": False, "hasannotations": False, "tags": [],
                "zonetoken": _ZONE_TOKEN}

    def offering(self, o):
        return {"id": o.id, "name": o.name, "displaytext": o.name, "created": stamp(0),
                "disksize": 0 if o.custom else o.size // ids.GIB, "iscustomized": o.custom,
                "disksizestrictness": False, "storagetype": "shared",
                "provisioningtype": "thin", "displayoffering": True, "hasannotations": False}

    # -- jobs

    def job(self, job, pending):
        row = {"jobid": job.id, "accountid": job.account.id, "userid": job.account.user,
               "cmd": job.cmd, "created": stamp(job.created), "jobprocstatus": 0,
               "jobstatus": 0 if pending else job.status,
               "jobresultcode": 0 if pending else job.code}
        if not pending:
            row["completed"] = stamp(job.completed)
            if job.result is not None:
                row |= {"jobresulttype": "object", "jobresult": job.result}
        if job.instance:
            kind, id = job.instance
            row |= {"jobinstancetype": kind} | ({"jobinstanceid": id} if id else {})
        if self._version.later_fields:
            row |= _SERVER | job.account.row()
        return row
