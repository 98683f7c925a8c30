# SPDX-License-Identifier: LGPL-2.1-or-later
"""Databases of the earlier daemon, see tests/support/earlier, and its rows for volumes of a world.

	python3 -m support.py.earlier CLOUD FILE

attaches a volume to the appliance and one to another machine of a simulated cloud, behind the daemon's back, writes the
database that knows them as SQL into FILE, and prints their ids.
"""

import json
import sys
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import ProxyHandler, Request, build_opener

import cloudsim

from . import stores

FILES = Path(__file__).resolve().parents[1] / "earlier"
CONTEXT = "ctx-web"

# Columns of other programs in our tables, and where no earlier daemon was, such columns.
FOREIGN = {
    "device_mappings": {"vm_context_id": CONTEXT, "volume_id_numeric": "7", "ossea_snapshot_id": "snap-7",
                        "snapshot_status": "ready", "requires_device_correlation": "0"},
    "nbd_exports": {"vm_context_id": CONTEXT, "job_id": "job-web", "config_path": "/etc/nbd-server/conf.d/x.conf"},
}


def make_production(database):
    """The tables of an appliance, without rows of volumes."""
    database.rows((FILES / "production.sql").read_text())
    database.rows(f"INSERT INTO vm_replication_contexts (context_id, vm_name) VALUES ('{CONTEXT}', 'web'); "
                  f"INSERT INTO replication_jobs (id, vm_context_id) VALUES ('job-web', '{CONTEXT}')")


def by_id(volume):
    return f"/dev/disk/by-id/virtio-{cloudsim.serial_of(volume)}"


def put_volume(database, volume, vm=cloudsim.APPLIANCE_VM, gib=1):
    """The rows of a volume that the earlier daemon attached and, on the appliance, exported."""
    here = vm == cloudsim.APPLIANCE_VM
    path, mode, state = (by_id(volume), "oma", "detected") if here else (f"remote-vm-{vm}", "failover", "n/a")
    size = gib * cloudsim.GIB if here else 0
    sql = (f"INSERT INTO ossea_volumes (vm_context_id, volume_id, volume_name, size_gb, device_path, status) VALUES "
           f"('{CONTEXT}', '{volume}', 'web', {gib}, '{path}', 'attached'); "
           f"INSERT INTO device_mappings (vm_context_id, volume_uuid, vm_id, operation_mode, device_path, "
           f"cloudstack_state, linux_state, size, volume_id_numeric, ossea_snapshot_id, snapshot_status, "
           f"requires_device_correlation) VALUES ('{CONTEXT}', '{volume}', '{vm}', '{mode}', '{path}', 'attached', "
           f"'{state}', {size}, 7, 'snap-7', 'ready', 0); ")
    if here:
        sql += (f"INSERT INTO nbd_exports (vm_context_id, job_id, volume_id, export_name, port, device_path, "
                f"config_path, status, created_at, updated_at) VALUES ('{CONTEXT}', 'job-web', '{volume}', "
                f"'migration-vol-{volume}', 10809, '{path}', '/etc/nbd-server/conf.d/x.conf', 'active', NOW(3), "
                f"NOW(3))")
    database.rows(sql)


def add_foreign_columns(store):
    """Into a store that has the daemon's columns alone; the daemon is stopped."""
    for table, columns in FOREIGN.items():
        there = f"SELECT name FROM pragma_table_info('{table}')" if stores.KIND == "sqlite" else \
            f"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND " \
            f"TABLE_NAME = '{table}'"
        names = [name for name, in store.rows(there)]
        for column in columns:
            if column not in names:
                store.rows(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")


def set_foreign(store, volume):
    for table, columns in FOREIGN.items():
        values = ", ".join(f"{column} = '{value}'" for column, value in columns.items())
        store.rows(f"UPDATE {table} SET {values} WHERE volume_id = '{volume}'")


def foreign_of(store, volume):
    """For each table the volume's values in columns of other programs; None: it has no row."""
    found = {}
    for table, columns in FOREIGN.items():
        rows = store.rows(f"SELECT {', '.join(columns)} FROM {table} WHERE volume_id = '{volume}'")
        found[table] = dict(zip(columns, rows[0])) if rows else None
    return found


class SqlFile:
    """Keeps statements for a client of the database server."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8")

    def rows(self, sql):
        self._file.write(sql.rstrip().removesuffix(";") + ";\n")
        self._file.flush()


def main(cloud, path):
    opener = build_opener(ProxyHandler({}))  # the cloud is on this machine

    def control(name, **arguments):
        request = Request(urljoin(cloud, f"/_sim/{name}"), json.dumps(arguments).encode(), method="POST")
        return json.load(opener.open(request))

    database = SqlFile(path)
    make_production(database)
    for vm in (cloudsim.APPLIANCE_VM, cloudsim.OTHER_VM):
        volume = control("volume", size=cloudsim.GIB)["id"]
        control("attach-behind", volume=volume, vm=vm)
        put_volume(database, volume, vm)
        print(volume)


if __name__ == "__main__":
    main(*sys.argv[1:])
