# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cluster of three database servers that loses one of them, in every way.

The daemon goes on with another node, at once for whoever asks it something; what was promised stays
promised, and once. A node without the others refuses to write, and the daemon with it.
"""

import itertools
import os
import random
import signal
import subprocess
from contextlib import contextmanager

import cloudsim
import pytest
from support.py import stores
from support.py.programs import program
from support.py.waiting import eventually

from .trouble import FOREVER, refused, unhealthy_soon, wait_well

pytestmark = pytest.mark.skipif(stores.KIND != "galera", reason="it is about a cluster")


@contextmanager
def killed(cluster, index):
    cluster.nodes[index].kill()
    try:
        yield
    finally:
        cluster.await_loss(index)
        cluster.start_node(index)


@contextmanager
def frozen(cluster, index):
    cluster.nodes[index].freeze()
    try:
        yield
    finally:
        cluster.await_loss(index)
        cluster.nodes[index].thaw()


@contextmanager
def isolated(cluster, index):
    cluster.isolate(index)
    cluster.await_loss(index)
    try:
        yield
    finally:
        cluster.isolate(index, False)


WAYS = pytest.mark.parametrize("lost", [killed, frozen, isolated], ids=lambda way: way.__name__)


@pytest.fixture
def cluster():
    cluster = stores.cluster()
    yield cluster
    cluster.await_whole()


def assert_once(world, operations):
    """Each operation is there once, on every node."""
    stores.cluster().await_whole()
    for node in stores.cluster().nodes:
        rows = node.sql("SET SESSION wsrep_sync_wait = 1; SELECT id, status FROM volume_operations "
                        "ORDER BY id", world.daemon.store.name)
        assert rows == [[o["id"], "completed"] for o in sorted(operations, key=lambda o: o["id"])]


def attach_in_time(daemon, volume):
    """The cluster stands still until it has agreed that a node is gone; a client asks again."""
    def accepted():
        answer = daemon.rest("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": cloudsim.APPLIANCE_VM})
        assert answer.status in (201, 503), answer
        return answer.status == 201 and answer.json

    return eventually(accepted, "the attachment is accepted")


@WAYS
def test_the_daemon_s_own_node_is_lost(cluster, world, lost):
    daemon = world.daemon
    volumes = [world.volume() for _ in range(4)]
    world.cloud.set_faults([{"do": "slow", "seconds": FOREVER, "command": "attachVolume", "times": 3}])
    running = [daemon.attach(volume) for volume in volumes[:3]]
    world.cloud.wait_request("attachVolume", 3)
    with lost(cluster, 0):
        for operation, volume in zip(running, volumes):
            world.assert_is(daemon.completed(operation)["response"]["device_path"], volume)
        wait_well(daemon)
        later = attach_in_time(daemon, volumes[3])
        daemon.completed(later)
        daemon.stop()
        daemon.start().wait_healthy()
        for volume in volumes:
            path = daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"]
            world.assert_is(path, volume)
    assert_once(world, [*running, later])


@WAYS
def test_another_node_is_lost(cluster, world, lost):
    volumes = [world.volume() for _ in range(2)]
    with lost(cluster, 2):
        operations = [attach_in_time(world.daemon, volume) for volume in volumes]
        for operation in operations:
            world.daemon.completed(operation)
    assert_once(world, operations)


def test_a_minority_refuses(cluster, make_world):
    """Only the node is named that has lost the others."""
    database = cluster.nodes[0].database()
    world = make_world(store=database.settings)
    volume, path = world.attached()
    with isolated(cluster, 0):
        unhealthy_soon(world.daemon)
        # A write that was under way may have been told something else before.
        eventually(lambda: "quorum" in refused(world.daemon), "the node's word")
        assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    wait_well(world.daemon)
    world.daemon.completed(world.daemon.detach(volume))


def second_daemon(world, make_world, ports):
    """One with the same database, not started yet."""
    database = world.daemon.store
    second = make_world(start=False, store={**database.settings, "url": database.url(*ports)})
    second.bus.start()
    return second


@pytest.mark.parametrize("order", [1, -1], ids=["at the same node", "at another node"])
def test_a_second_daemon_of_the_cluster_is_refused(cluster, world, make_world, order):
    second = second_daemon(world, make_world, world.daemon.store.ports[::order])
    second.daemon.launch()
    assert second.daemon.exits() == 1
    assert "already in use by another volume-daemon" in second.daemon.tail
    world.attached()


def test_a_daemon_that_was_replaced_writes_nothing(cluster, world, make_world):
    """It was frozen for so long that another one took its place, at another node."""
    volume = world.volume()
    world.cloud.set_faults([{"do": "slow", "seconds": FOREVER, "command": "attachVolume", "times": 1}])
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("attachVolume", 1)
    world.daemon.process.send_signal(signal.SIGSTOP)
    second = second_daemon(world, make_world, world.daemon.store.ports[::-1])
    second.daemon.start()
    second.daemon.stop()
    before = everything(world)
    world.daemon.process.send_signal(signal.SIGCONT)
    assert "taken over by another volume-daemon" in refused(world.daemon)
    world.cloud.set_faults([])
    assert world.daemon.get(f"/api/v1/operations/{operation['id']}")["status"] == "executing"
    assert everything(world) == before


def everything(world):
    """The rows of our tables, at a node that has all of them."""
    return [stores.cluster().nodes[0].sql(f"SET SESSION wsrep_sync_wait = 1; SELECT * FROM {table} ORDER BY 1",
                                          world.daemon.store.name)
            for table in ("volume_operations", "device_mappings", "volume_operation_history",
                          "volume_daemon_lease")]


def write(node, sql, database):
    """As any client of a cluster must: again, when it was the one that came second."""
    def written():
        try:
            return node.sql(sql + "; SELECT 'done'", database)
        except AssertionError as error:
            assert "ERROR 1213" in str(error), error
            return None

    eventually(written, sql)


def test_two_nodes_write_one_row(cluster, world):
    """Who comes second is turned away by the cluster and writes again."""
    volume = world.volume()
    operations = [world.daemon.attach(volume)]
    world.daemon.completed(operations[0])
    name = world.daemon.store.name
    for _ in range(20):
        write(cluster.nodes[1], "UPDATE device_mappings SET label = UUID()", name)
        operations.append(world.daemon.detach(volume))
        write(cluster.nodes[1], "UPDATE volume_operations SET error = UUID() WHERE status = 'executing'", name)
        world.daemon.completed(operations[-1])
        operations.append(world.daemon.attach(volume))
        write(cluster.nodes[2], "UPDATE volume_operations SET error = UUID() WHERE status = 'executing'", name)
        world.daemon.completed(operations[-1])
    assert_once(world, operations)


# ---- never two holders ----

CLIENTS = 16
# A longer turn is for a change of the lease: VOLD_LEASE_LOSSES=30.
LOSSES = int(os.environ.get("VOLD_LEASE_LOSSES", "2"))


class LeaseClient:
    """One that takes the lease, writes, lets go, and begins again."""

    def __init__(self, database, number, folder):
        ports = database.ports[number % 3:] + database.ports[:number % 3]
        self.arguments = [program("lease_client"), database.url(*ports), str(database.password_file)]
        self.output = folder / f"client-{number}"
        self.start()

    def start(self):
        with open(self.output, "a", encoding="ascii") as output:
            self.process = subprocess.Popen(self.arguments, stdout=output)

    def end(self):
        self.process.kill()
        self.process.wait()

    def acknowledged(self):
        """(number in the order of all writes, holder)"""
        lines = self.output.read_text(encoding="ascii").split("\n")[:-1]
        return [(int(number), holder) for holder, number in map(str.split, lines)]

    def last(self):
        return max(self.acknowledged(), default=(0, ""))


def await_others(clients, client):
    """Wait until another holder than the last one of this client has written."""
    number, holder = client.last()

    def written():
        newest = max(other.last() for other in clients)
        return newest[0] > number and newest[1] != holder

    eventually(written, "another holder writes")


def stir(clients, chance):
    """The present holder sleeps until it was replaced, and another client dies."""
    eventually(lambda: any(client.last()[0] for client in clients), "a first write")
    sleeper = max(clients, key=LeaseClient.last)
    sleeper.process.send_signal(signal.SIGSTOP)
    await_others(clients, sleeper)
    sleeper.process.send_signal(signal.SIGCONT)
    victim = chance.choice(clients)
    victim.end()
    victim.start()


def test_never_two_holders(cluster, tmp_path):
    database, chance = cluster.database(), random.Random(16)
    cluster.nodes[0].sql("CREATE TABLE lease_log (writes BIGINT UNSIGNED NOT NULL PRIMARY KEY, "
                         "holder CHAR(36) NOT NULL) ENGINE=InnoDB", database.name)
    clients = [LeaseClient(database, number, tmp_path) for number in range(CLIENTS)]
    try:
        for lost in itertools.islice(itertools.cycle([isolated, killed, frozen]), LOSSES):
            with lost(cluster, chance.randrange(3)):
                stir(clients, chance)
            cluster.await_whole()
    finally:
        for client in clients:
            client.end()
    rows = cluster.nodes[0].sql("SET SESSION wsrep_sync_wait = 1; SELECT writes, holder FROM lease_log "
                                "ORDER BY writes", database.name)
    holders = [holder for holder, _ in itertools.groupby(row[1] for row in rows)]
    print(f"{len(rows)} writes of {len(holders)} holders, {LOSSES} nodes lost")
    assert len(holders) == len(set(holders)) > 1, "the writes of a holder do not stand together"
    acknowledged = {write for client in clients for write in client.acknowledged()}
    assert acknowledged <= {(int(number), holder) for number, holder in rows}
