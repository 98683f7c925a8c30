# SPDX-License-Identifier: LGPL-2.1-or-later
"""A qemu-storage-daemon of the bench's own: the reference of rows about exports. It opens a device as the daemon's
does, and serves nothing else.
"""

import contextlib
import time

from cloudsim.qmp import QMP
from rig import PATIENCE, BenchError, running
from support.py.ports import free_port


class Engine:
    def __init__(self, qmp, port):
        self._qmp, self._port, self._count = qmp, port, 0
        qmp.command("nbd-server-start", addr={"type": "inet", "data": {"host": "127.0.0.1", "port": str(port)}})

    def add(self, device):
        """The name of a new export."""
        self._count += 1
        name = f"bare-{self._count}"
        self._qmp.command("blockdev-add", driver="host_device", node_name=name, filename=device, discard="unmap",
                          cache={"direct": True, "no-flush": False}, aio="native")
        self._qmp.command("block-export-add", type="nbd", id=name, node_name=name, name=name, writable=True)
        return name

    def uri(self, name):
        return f"nbd://127.0.0.1:{self._port}/{name}"

    def remove(self, name):
        self._qmp.command("block-export-del", id=name)
        self._qmp.wait_event("BLOCK_EXPORT_DELETED", PATIENCE, id=name)
        self._qmp.command("blockdev-del", node_name=name)


@contextlib.contextmanager
def engine(run):
    path = run / "bare-qmp"
    command = ["qemu-storage-daemon", "--chardev", f"socket,id=qmp,path={path},server=on,wait=off",
               "--monitor", "chardev=qmp,mode=control"]
    with running(command, run / "engine.log"):
        deadline = time.monotonic() + PATIENCE
        while not path.exists():
            if time.monotonic() > deadline:
                raise BenchError("qemu-storage-daemon did not start")
            time.sleep(0.01)
        with QMP(path) as qmp:
            yield Engine(qmp, free_port())
