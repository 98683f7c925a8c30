# SPDX-License-Identifier: LGPL-2.1-or-later
"""A CloudStack that fits into a test.

`CloudSim` speaks the part of the CloudStack API that concerns volumes: it checks signatures, keeps
volumes, machines and asynchronous jobs, follows fault scripts, and makes attached volumes appear
as disks of the appliance, be it in a directory that looks like sysfs, as loop devices, or in a
virtual machine under QEMU. It runs inside a test (`with CloudSim() as sim: ...`) or as a program
(`cloudsim --help`).
"""

from .client import Client, JobFailed, Refused
from .ids import (API_KEY, APPLIANCE_VM, GIB, OFFERING_CUSTOM, OFFERING_FIXED, OTHER_VM,
                  OTHER_ZONE, SECRET_KEY, STOPPED_VM, ZONE)
from .plug import PlugError
from .sim import CloudSim
from .world import serial_of

__all__ = [
    "API_KEY", "APPLIANCE_VM", "Client", "CloudSim", "GIB", "JobFailed", "OFFERING_CUSTOM",
    "OFFERING_FIXED", "OTHER_VM", "OTHER_ZONE", "PlugError", "Refused", "SECRET_KEY",
    "STOPPED_VM", "ZONE", "serial_of",
]
