# SPDX-License-Identifier: LGPL-2.1-or-later
"""From a disk of the kernel to the end of its attach."""

import statistics

from cloudsim import ids
from cloudsim.plug import make_plug
from cloudsim.sim import CloudSim
from rig import serving, signals
from table import Figure, at_most_over

COUNT = 25


def measure(bench):
    """Each disk is plugged by hand once the daemon has seen the job end and only waits for it. The reference is when
    the kernel's event reaches a bare netlink listener, so it is 0."""
    disks, taken = bench.disks, []
    with CloudSim(0, make_plug(disks.plug)) as sim:
        for index in range(COUNT):
            sim.put_volume(name=f"bench-{index}", size=ids.GIB, state="Ready")
        with (serving(bench.build, bench.run, sim, disks, scan=disks.scan) as daemon,
              signals(daemon, bench.run) as witness):
            sim.set_faults([{"do": "no_plug", "command": "attachVolume", "times": 0}])
            for volume in [v for v in sim.state()["volumes"] if v["type"] == "DATADISK"]:
                taken.append(attach(daemon, sim, disks, witness, volume))
    yield Figure("kernel event to `OperationCompleted`", statistics.median(taken), "ms", 0, aim=at_most_over(15),
                 how=f"median of {len(taken)}, {min(taken):.1f} to {max(taken):.1f}; {disks.how}")


def attach(daemon, sim, disks, witness, volume):
    """Milliseconds from the event to the signal."""
    path = f"/api/v1/volumes/{volume['id']}"
    operation = daemon.ask("POST", f"{path}/attach", {"vm_id": ids.APPLIANCE_VM})["id"]
    daemon.await_step(operation, "await-device")
    witness.forget()
    begin = disks.appear(sim, volume["id"], volume["size"])
    end = witness.first(lambda line: b'"OperationCompleted"' in line
                        and operation.encode() in line and b'"completed"' in line)
    daemon.finish(daemon.ask("POST", f"{path}/detach")["id"])
    return (end - begin) * 1000
