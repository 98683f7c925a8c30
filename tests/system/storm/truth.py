# SPDX-License-Identifier: LGPL-2.1-or-later
"""The comparison of four things that must agree: CloudStack's world, the guest's disks, the daemon's model, and what
the daemon has made of it: names and exports.
"""

import os

import cloudsim
from support.py.harness import FINAL


def all_pages(daemon, path, member=None):
    """All items of a list."""
    items, link = [], path
    while link:
        answer = daemon.rest("GET", link)
        assert answer.status == 200, answer.body
        items += answer.json[member] if member else answer.json
        link = answer.headers["Link"] and answer.headers["Link"][1:].split(">")[0]
    return items


def operations_of(daemon):
    return {record["id"]: record for record in all_pages(daemon, "/api/v1/operations?limit=1000")}


class Truth:
    def __init__(self, world):
        self.world, self.daemon = world, world.daemon

    def differences(self):
        """Texts; none if all is well."""
        rows = {row["id"]: row for row in self.world.data_volumes() if row["state"] != "Destroy"}
        self.attached = {id: row["vm"] for id, row in rows.items() if row["vm"]}
        self.here = {id for id, vm in self.attached.items() if vm == cloudsim.APPLIANCE_VM}
        return [*self._operations(), *self._volumes(rows), *self._mappings(), *self._disks(), *self._names(),
                *self._exports()]

    def _operations(self):
        for id, record in operations_of(self.daemon).items():
            if record["status"] not in FINAL:
                yield f"{id} has not ended: {record}"
            elif record.get("needs_attention"):
                yield f"{id} needs attention: {record}"

    def _volumes(self, rows):
        answer = self.daemon.rest("GET", "/api/v1/volumes?limit=1000&refresh=true")
        if answer.status != 200:
            yield f"volumes: {answer.body}"
            return
        # CloudStack still lists a volume that it has destroyed because its creation failed.
        known = {v["volume_id"]: (v.get("vm_id"), v["size"]) for v in answer.json["volumes"]
                 if v["state"] != "Destroy"}
        roots = {v["id"] for v in self.world.cloud.state()["volumes"] if v["type"] == "ROOT"}
        for id in (known.keys() | rows.keys()) - roots:
            cloud = rows.get(id) and (rows[id]["vm"], rows[id]["size"])
            if known.get(id) != cloud:
                yield f"volume {id}: CloudStack has {cloud}, the daemon {known.get(id)}"

    def _mappings(self):
        mappings = {m["volume_id"]: m for m in all_pages(self.daemon, "/api/v1/mappings", "mappings")}
        yield from different("mappings", self.attached, {id: m["vm_id"] for id, m in mappings.items()})
        for id in self.here & mappings.keys():
            path, paths = mappings[id]["device_path"], [self.world.path(name) for name in self.world.disks_of(id)]
            if [path] != paths:
                yield f"device of {id}: the guest has {paths}, the daemon {path}"
            elif self.world.serial_at(path) != cloudsim.serial_of(id):
                yield f"device of {id}: {path} is another disk"

    def _disks(self):
        volumes = {v["id"] for v in self.world.cloud.state()["volumes"] if v["type"] == "DATADISK"}
        disks = [d["key"] for d in self.world.cloud.state()["devices"] if d["key"] in volumes]
        yield from different("disks", sorted(self.here), sorted(disks))

    def _names(self):
        folder = self.world.folder / "disks/dev"
        maps = set(os.listdir(folder / "maps"))
        yield from different("maps", self.here, maps)
        yield from different("names", {f"vol{id[:8]}" for id in self.here}, set(os.listdir(folder / "mapper")))
        for id in self.here & maps:
            number = os.readlink(folder / "maps" / id).split()[2]
            numbers = [(self.world.folder / "disks/block" / name / "dev").read_text().strip()
                       for name in self.world.disks_of(id)]
            yield from different(f"map of {id}", numbers, [number])

    def _exports(self):
        exports = {e["volume_id"]: e["status"] for e in self.daemon.get("/api/v1/exports")["exports"]}
        yield from different("exports", dict.fromkeys(self.here, "active"), exports)


def different(what, right, found):
    if right != found:
        yield f"{what}: {found}, and should be {right}"
