#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copies the disk of an attached volume to standard output.

The open disk comes from volume-daemon, which has proven it, so it cannot be another disk, whatever
its name is by now. Needs dbus-python (Debian: python3-dbus).

    ./open_device.py VOLUME > image
"""

import os
import shutil
import sys

import dbus

NAME = "org.migratekit.VolumeDaemon1"


def open_device(volume, read_only=True):
    """The open disk of a volume, as a file."""
    manager = dbus.Interface(dbus.SystemBus().get_object(NAME, "/org/migratekit/VolumeDaemon1"),
                             f"{NAME}.Manager")
    # take() hands the descriptor over; without it, it is closed together with the answer.
    disk = manager.OpenDevice(volume, {"read_only": dbus.Boolean(read_only)}).take()
    return os.fdopen(disk, "rb" if read_only else "r+b", buffering=0)


def main():
    if len(sys.argv) != 2:
        sys.exit("Usage: open_device.py VOLUME")
    try:
        with open_device(sys.argv[1]) as disk:
            shutil.copyfileobj(disk, sys.stdout.buffer, 1 << 20)
    except dbus.DBusException as error:
        sys.exit(error.get_dbus_message())


if __name__ == "__main__":
    main()
