# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader who follows a document from its beginning to its end, in one shell.

The reader's machine is a world of the harness: a simulated CloudStack with the volumes, offerings and machines of
NAMES, a private bus, a daemon with an NBD server, and, for blocks on MariaDB, a database server on which nothing has
been set up yet, or which an earlier daemon has used. Addresses and folders of an installed machine stand in the documents as they are; `Reader.places` says
what they are here. `systemctl` asks this process, which holds the daemon.
"""

import configparser
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import cloudsim
from support.py import earlier
from support.py.certificates import Authority
from support.py.harness import World, config_text
from support.py.mariadb import MariaDB
from support.py.ports import free_port
from support.py.programs import program
from support.py.waiting import DEADLINE, Lines, eventually

from .transcript import Transcript

# What documents call them.
NAMES = {"offering": "Small", "zone": "zone1", "vm": "web1"}
VOLUME = "data"

_SHELL = r"""
set -a
trap 'echo "$BASH_SOURCE:$LINENO: exit status $? of: $BASH_COMMAND"' ERR
# COMMAND: on a terminal, until it has said something.
until_interrupted() {
	local said=$HOME/said
	: >"$said"
	script --quiet --flush --return --command "exec $1" "$said" >/dev/null 2>&1 </dev/null & local running=$!
	# The first line is of script.
	until [ "$(tail -n +2 "$said" | wc -c)" -gt 0 ]; do
		kill -0 $running 2>/dev/null || { echo "it has ended: $(cat "$said")"; return 1; }
		sleep 0.05
	done
	kill $running 2>/dev/null || { echo "it does not wait for Ctrl-C: $(cat "$said")"; return 1; }
	wait $running || true
}
"""

_SYSTEMCTL = """\
#!{python}
import socket, sys
with socket.socket(socket.AF_UNIX) as machine:
    machine.connect("{address}")
    machine.sendall("\\0".join(sys.argv[1:]).encode() + b"\\n")
    said = machine.makefile().read()
print(said, end="", file=sys.stderr)
sys.exit(1 if said else 0)
"""


class Systemd:
    """Does for the `systemctl` of the reader's shell what systemd does for a unit of this name."""

    def __init__(self, folder, daemon):
        self._daemon, self._socket = daemon, socket.socket(socket.AF_UNIX)
        address = tempfile.mktemp(prefix="vold-systemd-")
        self._socket.bind(address)
        self._socket.listen()
        self._address = Path(address)
        command = folder / "systemctl"
        command.write_text(_SYSTEMCTL.format(python=sys.executable, address=address))
        command.chmod(0o755)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._address.unlink()
        self._socket.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                words = client.makefile().readline()[:-1].split("\0")
                try:
                    self._do([word for word in words if word != "--now"])
                except Exception as error:      # pylint: disable=broad-except  # the shell fails, not this thread
                    client.sendall(f"systemctl: {error}\n".encode())

    def _do(self, words):
        verb, unit = words
        if unit != "volume-daemon":
            raise ValueError(f"there is no unit {unit} here")
        if verb in ("stop", "restart", "disable"):
            self._daemon.stop()
        if verb in ("start", "restart", "enable"):
            self._daemon.start()
            # Until CloudStack and the NBD server have answered, for which a reader would look twice.
            eventually(lambda: self._daemon.health()["cloudstack_health"] == "healthy"
                       and self._daemon.health()["nbd_health"] == "healthy"
                       and self._daemon.health()["database_health"] == "healthy", "the daemon is well")
        elif verb == "reload":
            done = self._daemon.ctl("reload")
            if done.returncode:
                raise ValueError(done.stderr)
        elif verb not in ("stop", "disable"):
            raise ValueError(f"{verb} is unknown here")


class Reader:
    def __init__(self, folder, on_mariadb=False, has_volume=False):
        """has_volume: the volume VOLUME is there and attached when the shell begins."""
        self._has_volume = has_volume
        self.folder, self._transcript = folder, Transcript()
        self._shell = self._said = self._server = self._database = None
        self.http, self.nbd = free_port(), free_port()
        self.world = World(folder, export={"engine": "qemu-storage-daemon", "listen": f"127.0.0.1:{self.nbd}"})
        self.world.daemon.configure(http={"listen": f"127.0.0.1:{self.http} [::1]:{self.http} "
                                                    f"unix:{self.world.daemon.run.name}/http.sock"})
        self._name_things()
        self.etc = self._folder("etc")
        self.sockets = self.world.daemon.run.name
        programs = self._folder("bin")
        (programs / "volumectl").symlink_to(program("volumectl"))
        # The configuration of an installed machine has its place.
        daemon = programs / "volume-daemon"
        daemon.write_text(f"#!/bin/sh\nexec '{program('volume-daemon')}' --config '{self.world.daemon.config}' \"$@\"\n")
        daemon.chmod(0o755)
        self._systemd = Systemd(programs, self.world.daemon)
        self._make_files()
        if on_mariadb:
            self._start_server()
        # The longer one first, if one begins another.
        self.places = {
            "127.0.0.1:8090": f"127.0.0.1:{self.http}", "[::1]:8090": f"[::1]:{self.http}",
            "/dev/vd": f"{folder}/disks/dev/vd",
            "nbd://127.0.0.1/": f"nbd://127.0.0.1:{self.nbd}/",
            "/etc/volume-daemon/volume-daemon.conf": str(self.world.daemon.config),
            "/etc/volume-daemon": str(self.etc), "/run/volume-daemon": self.sockets,
            "/var/lib/volume-daemon": str(folder), "/srv": str(self._folder("srv/backup").parent),
            "https://cloud.example.org/client/api": self.world.cloud.url,
            "db1.example.org": f"127.0.0.1:{self._server.port}" if self._server else "db1.example.org",
            # On loopback only a url that asks for TLS gets it.
            "?ca=": "?tls=verify&ca=", "'10.0.0.%'": "'%'",
        }

    def _folder(self, name):
        path = self.folder / "reader" / name
        path.mkdir(parents=True)
        return path

    def _name_things(self):
        cloud = self.world.cloud
        cloud.world.offerings[cloudsim.OFFERING_CUSTOM].name = NAMES["offering"]
        cloud.world.zones[cloudsim.ZONE].name = NAMES["zone"]
        cloud.put_vm(id=cloudsim.OTHER_VM, name=NAMES["vm"])

    def _make_files(self):
        for name in ("api-key", "secret-key"):
            (self.etc / name).write_bytes((self.folder / name).read_bytes())
        (self.etc / "store-password").write_text("PASSWORD\n")
        tls = self.etc / "tls"
        tls.mkdir()
        authority = Authority(self.folder / "authority")
        cert, key = authority.sign("server")
        for name, file in (("server-cert.pem", cert), ("server-key.pem", key), ("ca-cert.pem", authority.file)):
            (tls / name).write_bytes(file.read_bytes())
        (self.etc / "ca.pem").write_bytes(authority.file.read_bytes())
        for path in self.etc.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)

    def _start_server(self):
        self._server = MariaDB()
        for name in ("server-cert.pem", "server-key.pem", "ca-cert.pem"):
            (self._server.folder / name).write_bytes((self.etc / "tls" / name).read_bytes())
            (self._server.folder / name).chmod(0o644)
        self._server.settings |= {"ssl-cert": self._server.folder / "server-cert.pem",
                                  "ssl-key": self._server.folder / "server-key.pem",
                                  "ssl-ca": self._server.folder / "ca-cert.pem"}
        self._server.start()
        # As Debian has it for root: the client needs no options.
        self._folder("home").joinpath(".my.cnf").write_text(
            f"[client]\nsocket = {self._server.socket}\nuser = root\n")

    def close(self):
        try:
            if self._shell:
                # Whatever a block has left running ends with its shell.
                os.killpg(self._shell.pid, signal.SIGKILL)
                self._shell.wait(DEADLINE)
                self._shell.stdin.close()
                self._said.join()
        finally:
            self._systemd.close()
            self.world.close()
            if self._server:
                self._server.stop()

    def find_the_earlier_daemon(self):
        """Its database, in which it has attached a volume to the appliance. volume-daemon was never started."""
        self._database = "volumes"
        earlier.make_production(self)
        volume = self.world.volume()
        self.world.cloud.attach_behind(volume)
        earlier.put_volume(self, volume)

    def rows(self, sql):
        return self._server.sql(sql, self._database)

    # -- the shell

    def await_health(self):
        """A reader who has done it all has a daemon that is healthy."""
        if not self._shell:
            self._start_shell()
        eventually(lambda: self.world.daemon.health()["status"] == "healthy", "the daemon is healthy")

    def _start_shell(self):
        self.world.bus.start()
        if not self._database:
            self._start_daemon()
        home = self.folder / "reader/home"
        home.mkdir(exist_ok=True)
        environment = self.world.bus.environment | {
            "PATH": f"{self.folder / 'reader/bin'}:{os.environ['PATH']}", "HOME": str(home)}
        self._shell = subprocess.Popen(["bash", "-eEu", "-o", "pipefail", "-s"], cwd=home, env=environment, text=True,
                                       start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
        self._said = Lines(self._shell.stdout)
        self._tell(_SHELL)

    def _start_daemon(self):
        self.world.daemon.start().wait_healthy()
        eventually(lambda: self.world.daemon.health()["status"] == "healthy", "the daemon is healthy")
        if self._has_volume:
            self.world.daemon.completed(self.world.daemon.attach(self.world.volume(name=VOLUME)))

    def _tell(self, commands):
        self._shell.stdin.write(commands)
        self._shell.stdin.flush()

    def _run(self, name, line, text, suffix=""):
        """Run commands that begin on this line of a document; what they say. Numbers of lines in complaints are those
        of the document."""
        if not self._shell:
            self._start_shell()
        file = self.folder / "reader" / name.replace("/", "-")
        file.write_text("\n" * (line - 1) + text)
        before, end = len(self._said), f"== {line}"
        self._tell(f". '{file}' </dev/null{suffix}\necho; echo '{end}'\n")
        try:
            self._said.wait(lambda said: said == end, since=before, deadline=5 * DEADLINE)
        except AssertionError:
            said = "\n".join(self._said.all(before))
            raise AssertionError(f"{name}:{line}: {said}\n-- the daemon:\n{self.world.daemon.tail}") from None
        return self._said.all(before)[:-1]

    def _placed(self, text):
        for place, here in self.places.items():
            # A path is not part of a longer one.
            text = re.sub((r"(?<!\w)" if place.startswith("/") else "") + re.escape(place), lambda _, here=here: here, text)
        return text

    # -- blocks

    def follow(self, document, block):
        """Do what a block says; AssertionError if a reader who does it is not well served."""
        {"sh": self._sh, "console": self._console, "sql": self._sql, "ini": self._ini}[block.language](document, block)

    def _sh(self, document, block):
        text = self._placed(block.text)
        if "until interrupted" in block.marks:
            text = "".join(f"until_interrupted '{_code(line)}'\n" for line in text.splitlines())
        self._run(document.name, block.line, text)

    def _console(self, document, block):
        commands = [number for number, line in enumerate(block.lines) if line.startswith("$ ")]
        for number, after in zip(commands, [*commands[1:], len(block.lines)], strict=True):
            command = self._transcript.here(self._placed(block.lines[number][2:]))
            # A command may fail, if the document shows its complaint.
            said = self._run(document.name, block.line + number, command + "\n", " || true")
            said = [line for line in said if " exit status " not in line]
            differences = self._transcript.differences(block.lines[number + 1:after], said)
            assert not differences, "\n".join([f"{document.name}:{block.line + number}: {command}", *differences])

    def _sql(self, _, block):
        self.rows(self._placed(block.text))

    def _ini(self, document, block):
        """The daemon accepts a configuration with these keys; a store of theirs is the one of the daemon here."""
        keys = configparser.ConfigParser(inline_comment_prefixes="#", interpolation=None)
        keys.read_string(self._placed(block.text))
        sections = self.world.daemon.sections | {name: dict(keys[name]) for name in keys.sections()}
        file = self.folder / "block.conf"
        file.write_text(config_text(sections))
        done = subprocess.run([program("volume-daemon"), "--check-config", "--config", file], capture_output=True,
                              text=True, check=False, timeout=DEADLINE)
        assert done.returncode == 0, f"{document.name}:{block.line}: {done.stderr}"
        if self._server and "store" in sections and not self._shell:
            self.world.daemon.sections = sections
            self.world.daemon.configure()


def _code(line):
    """A line of a block without its comment."""
    return re.sub(r"(^|\s+)#\s.*$", "", line).strip().replace("'", "'\\''")
