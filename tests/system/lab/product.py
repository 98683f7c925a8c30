# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon as an administrator of the appliance meets it: a unit, a configuration, a command.

The tests go through nothing else. `volumectl` speaks D-Bus and waits for the end of what it began;
BusMonitor shows what that looked like on the bus.
"""

import json
import shlex

import cloudsim
from support.py.waiting import eventually

from .vm import CLOUD_ADDRESS, CommandFailed

UNIT = "volume-daemon.service"
_KILL = f"systemctl kill --signal=KILL {UNIT}; systemctl stop {UNIT}"
BUS_NAME = "org.migratekit.VolumeDaemon1"

# volumectl's exit codes for the refusals the tests provoke, and for a part that is away.
EXIT_UNAUTHORIZED = 4
EXIT_FORBIDDEN = 5
EXIT_NOT_FOUND = 6
EXIT_CONFLICT = 9
EXIT_UNAVAILABLE = 17

# The appliance's own id is left out on purpose: the daemon has to find it in the firmware.
_CONFIG = f"""\
[cloud]
url = http://{CLOUD_ADDRESS}/client/api
api_key_file = /etc/volume-daemon/api-key
secret_key_file = /etc/volume-daemon/secret-key
poll_min = 50ms
[device]
scan_interval = 2s
wait = 1h
hold_seconds = {{hold_seconds}}
stable_names = {{stable_names}}
[export]
engine = {{engine}}
{{engine_socket}}
[store]
url = sqlite:///var/lib/volume-daemon/volume-daemon.db
[http]
listen = 127.0.0.1:8090
"""


class Product:
    """The installed daemon and its command, in a running appliance."""

    def __init__(self, vm):
        self._vm = vm

    def configure(self, hold_seconds=3600, stable_names="yes", engine="qemu-storage-daemon",
                  engine_socket=None):
        """Write the configuration, so that it survives even a reset.

        `engine_socket` is that of an engine which is not the daemon's child.
        """
        self._vm.write_file("/etc/volume-daemon/volume-daemon.conf", _CONFIG.format(
            hold_seconds=hold_seconds, stable_names=stable_names, engine=engine,
            engine_socket=f"qmp_socket = {engine_socket}" if engine_socket else ""))
        self._vm.run("sync")

    def write_keys(self):
        self._vm.write_file("/etc/volume-daemon/api-key", cloudsim.API_KEY, mode="0600")
        self._vm.write_file("/etc/volume-daemon/secret-key", cloudsim.SECRET_KEY, mode="0600")

    def start_afresh(self):
        """Start without any memory of what was before, and wait until it knows its cloud."""
        self._vm.run(f"systemctl stop {UNIT}; rm -rf /var/lib/volume-daemon")
        self.start()
        self.await_cloud()

    def await_cloud(self):
        """Until it has asked CloudStack and takes changes."""
        self._vm.run("until volumectl health --json | grep -q '\"accepting_changes\":true'; "
                     "do sleep .1; done", timeout=300)

    def let_go(self):
        """End it and what goes on without it, exports and names, so that nothing holds a disk."""
        self._vm.run(f"{_KILL}; dmsetup info -c --noheadings -o name -S 'uuid =~ ^VOLD-' | "
                     "while read -r map; do dmsetup resume $map; dmsetup remove --retry $map; done",
                     check=False)

    def start(self):
        self._systemctl("start")

    def restart(self):
        self._systemctl("restart")

    def stop(self):
        self._systemctl("stop")

    def kill(self):
        """Let it die without a chance to tidy up, and stay dead."""
        self._vm.run(_KILL)

    def crash(self):
        """Let it die alone, as by a fault of its own, and wait until systemd has it back."""
        pid = f"$(systemctl show --property=MainPID --value {UNIT})"
        self._vm.run(f"old={pid}; kill -KILL $old; until [ {pid} != $old ] && "
                     f"systemctl --quiet is-active {UNIT}; do sleep .2; done", timeout=300)

    def journal(self):
        """The last lines the unit logged."""
        return self._vm.run(f"journalctl --sync; journalctl --no-pager --lines=200 --unit={UNIT}").out

    def volumectl(self, *words):
        """Run a command to its end and return the JSON it prints."""
        return json.loads(self._answer_to(*words, "--json"))

    def _answer_to(self, *words):
        """What a command prints. On a busy machine the store may be late, and the daemon says that nothing was changed:
        then the command is run again."""
        result = eventually(lambda: self._unless_store_is_late(words), "an answer of the store")
        if result.rc != 0:
            raise CommandFailed(f"volumectl {shlex.join(words)} ended with {result.rc}:\n"
                                f"{result.out}{result.err}")
        return result.out

    def _unless_store_is_late(self, words):
        result = self._run(words)
        late = (result.rc == EXIT_UNAVAILABLE
                and "the store is away, nothing was changed" in result.err)
        return None if late else result

    def try_volumectl(self, *words):
        """Run a command that may be refused; returns (rc, out, err)."""
        return self._run([*words, "--json"])

    def _run(self, words):
        return self._vm.run(shlex.join(["volumectl", *words]), timeout=300, check=False)

    def begin(self, *words):
        """Begin a change without waiting for its end; returns the operation's id."""
        return self._answer_to(*words, "--no-wait").strip()

    def _systemctl(self, verb):
        result = self._vm.run(f"systemctl {verb} {UNIT}", timeout=600, check=False)
        if result.rc != 0:
            raise CommandFailed(f"systemctl {verb} {UNIT}: {result.err}{self.journal()}")


class BusMonitor:
    """Records the daemon's D-Bus traffic while the `with` block runs."""

    _UNIT = "bus-monitor"

    def __init__(self, vm):
        self._vm = vm
        self._file = None

    def __enter__(self):
        self._file = self._vm.spawn(self._UNIT, f"exec busctl monitor --json=short {BUS_NAME}")
        self._vm.wait_output(self._file, "Monitoring bus message stream")
        return self

    def __exit__(self, *_):
        self._vm.run(f"systemctl stop {self._UNIT}")

    def wait_signal(self, member, text):
        """Wait for a signal whose JSON contains a text, and return it."""
        line = self._vm.wait_output(self._file, f'"member":"{member}".*{text}')
        return json.loads(line)
