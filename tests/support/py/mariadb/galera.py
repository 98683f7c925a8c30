# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Galera cluster of three nodes on loopback.

A node can be killed, frozen, and cut off from the others while its clients still reach it: the
provider's own switch for that makes it deaf and dumb towards the group.
"""

from ..ports import free_port
from ..waiting import eventually
from .server import MariaDB

PROVIDER = "/usr/lib/galera/libgalera_smm.so"


class Galera:
    def __init__(self, **settings):
        self.nodes = [MariaDB(**settings) for _ in range(3)]
        self.ports = [free_port() for _ in range(3)]
        self._states = [free_port() for _ in range(3)]

    def _arguments(self, index):
        others = "" if index == 0 and not any(n.process for n in self.nodes) else ",".join(
            f"127.0.0.1:{port}" for i, port in enumerate(self.ports) if i != index)
        port = self.ports[index]
        options = (f"gcache.size=16M; gmcast.listen_addr=tcp://127.0.0.1:{port}; "
                   f"ist.recv_addr=127.0.0.1:{free_port()}; evs.suspect_timeout=PT2S; "
                   "evs.inactive_timeout=PT4S; evs.keepalive_period=PT0.5S; "
                   "evs.inactive_check_period=PT0.5S; evs.install_timeout=PT4S")
        return ["--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", "--binlog-format=ROW",
                "--innodb-autoinc-lock-mode=2", "--wsrep-sst-method=rsync",
                "--wsrep-cluster-name=volumes", f"--wsrep-cluster-address=gcomm://{others}",
                f"--wsrep-node-address=127.0.0.1:{port}", f"--wsrep-node-name=node{index}",
                f"--wsrep-sst-receive-address=127.0.0.1:{self._states[index]}",
                f"--wsrep-provider-options={options}"]

    def start(self):
        for index in range(3):
            self.start_node(index)
        return self

    def start_node(self, index):
        """Start it and wait until it has all that the others have."""
        node = self.nodes[index]
        node.launch(*self._arguments(index))
        node.log.wait(lambda line: "Synchronized with group, ready for connections" in line, deadline=180)

    def isolate(self, index, yes=True):
        """Cut it off from the others, or let it come back."""
        self.nodes[index].sql(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(yes)}'")
        if yes:
            self.await_status(index, "wsrep_cluster_status", "non-Primary")

    def await_loss(self, index):
        """Wait until the others know that this node is not with them."""
        for other in {0, 1, 2} - {index}:
            self.await_status(other, "wsrep_cluster_size", "2")

    def await_whole(self):
        for index in range(3):
            self.await_status(index, "wsrep_cluster_size", "3")
            self.await_status(index, "wsrep_local_state_comment", "Synced")

    def await_status(self, index, name, value):
        eventually(lambda: self.status(index, name) == value, f"{name} of node {index} is {value}")

    def database(self):
        """One whose url names all three nodes, the first one first."""
        return self.nodes[0].database([node.port for node in self.nodes])

    def status(self, index, name):
        return self.nodes[index].sql(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1]

    def stop(self):
        for node in reversed(self.nodes):
            node.kill()
