# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many operations at once cost CloudStack little.

An operation looks at its volume, asks for the change and waits for the job. Done for each one by one
that would be a dozen requests an operation; they are made together where they wait anyway.
"""

from collections import Counter

MANY = 60
MACHINES = 20


def test_many_attaches_take_few_requests(make_world):
    world = make_world(cloud={"poll_min": "100ms", "poll_max": "1s", "parallel": "4"})
    machines = [world.cloud.put_vm(name=f"many-{i}")["id"] for i in range(MACHINES)]
    volumes = [world.volume() for _ in range(MANY)]
    world.cloud.set(job_delay=0.5)      # three jobs in a machine's queue: a second and a half
    world.cloud.set_faults([{"do": "slow", "command": "listVolumes", "seconds": 0.3, "times": 0}])
    world.cloud.clear_requests()
    begun = [world.daemon.attach(volume, machines[i % MACHINES])
             for i, volume in enumerate(volumes)]
    ended = [world.daemon.completed(operation) for operation in begun]
    for i, record in enumerate(ended):
        assert record["vm_id"] == machines[i % MACHINES], record
    assert {v["vm"] for v in world.data_volumes()} == set(machines)

    asked = Counter(r["command"] for r in world.cloud.requests())
    assert asked["attachVolume"] == MANY
    # One look tells how a job ended; a few more when few are left, or the list is older than the job.
    assert MANY <= asked["queryAsyncJobResult"] <= 1.5 * MANY, asked
    # Two looks for each attachment, most of them made together.
    assert asked["listVolumes"] <= MANY, asked
    assert 0 < asked["listAsyncJobs"] <= MANY, asked
    assert sum(asked.values()) <= 4 * MANY, asked


def test_many_creates_take_few_requests(make_world):
    """The volumes tell together that their jobs have made them; only a job that failed is asked itself."""
    world = make_world(cloud={"poll_min": "100ms", "poll_max": "1s", "parallel": "4"})
    world.cloud.set(job_delay=0.5)
    world.cloud.set_faults([{"do": "job_fail", "command": "createVolume", "name": "broken"}])
    world.cloud.clear_requests()
    broken = world.daemon.create(name="broken")
    begun = [world.daemon.create(name=f"new-{i}") for i in range(MANY)]
    ended = [world.daemon.completed(operation) for operation in begun]
    assert [record["response"]["name"] for record in ended] == [f"new-{i}" for i in range(MANY)]
    assert world.daemon.failed(broken)["error_code"] == "CLOUDSTACK_ERROR"
    assert len(world.data_volumes()) == MANY

    asked = Counter(r["command"] for r in world.cloud.requests())
    assert asked["createVolume"] == MANY + 1 and asked["updateVolume"] == MANY
    # The failed one and those that are left when few are.
    assert asked["queryAsyncJobResult"] <= MANY / 4, asked
    assert sum(asked.values()) <= 4 * MANY, asked
