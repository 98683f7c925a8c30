# SPDX-License-Identifier: LGPL-2.1-or-later
"""The appliance: one emulated VM in which the daemon meets a kernel, udev, systemd and D-Bus.

To the guest it looks like an instance in a CloudStack KVM cloud: the firmware gives the instance's
id as the product uuid, the root disk carries a volume's serial, and disks come and go by hot-plug
on a virtio or a virtio-scsi bus. Whoever plays the cloud plugs them over `cloud_qmp_path`; the test
itself uses a monitor of its own, `qmp`, so that neither reads the other's replies.

The program under test comes as a tree of files that the initramfs copies over the root disk at each
boot. A second disk would do as well, but it would take a name the tests are about. What the guest
writes to its root disk lives in a temporary file of QEMU's: it survives `reset()`, not `stop()`.

The guest's network is closed. Its only way out is CLOUD_ADDRESS, where for each connection QEMU
runs a busybox that carries it to the one loopback port `connect_cloud()` named.
"""

import ctypes
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from cloudsim import serial_of
from cloudsim.qmp import QMP, QMPError

from . import image as lab_image
from .agent import END_PORT, Agent, AgentError

CLOUD_ADDRESS = "10.0.2.2:8080"

# Generous: on a busy machine, emulation may take thirty times its usual 12 seconds.
BOOT_TIMEOUT_S = 900

_AGENT_PORT = "agent0"
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class ApplianceError(Exception):
    """The VM did not do what it was told; the text ends with what it last wrote to its console."""


class CommandFailed(Exception):
    """A command in the guest ended with another code than 0."""


class Result(NamedTuple):
    """The end of a command in the guest."""

    rc: int
    out: str
    err: str


class Appliance:
    """A VM, from power-on to power-off. As a context manager it is stopped at the end."""

    def __init__(self, folder, vm_id, root_volume, overlay=None, audited=False):
        """Prepare a VM whose sockets and logs live in `folder`.

        `root_volume` is the id of the volume the root disk is, `overlay` a tree to copy over it.
        With `audited` the kernel makes audit records, among them AppArmor's.
        """
        self.folder = Path(folder)
        self.vm_id = vm_id
        self.cloud_qmp_path = self.folder / "cloud-qmp.sock"
        self.console_log = self.folder / "console.log"
        self.qemu_log = self.folder / "qemu.log"
        self.qmp = None
        self._overlay = overlay
        self._audited = audited
        self._root_serial = serial_of(root_volume)
        self._forward = self.folder / "forward"
        self._qmp_path = self.folder / "qmp.sock"
        self._agent_path = self.folder / "agent.sock"
        self._end_path = self.folder / "end.sock"
        self._process = None
        self._agent = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Power on. Returns as soon as QEMU runs; `wait_ready()` waits for the guest."""
        image = lab_image.get()
        initramfs = self.folder / "initramfs.cpio"
        shutil.copy(image.initramfs, initramfs)
        if self._overlay:
            _append_overlay(self._overlay, initramfs)

        # QEMU inherits sockets that already listen: connecting never comes too early.
        listeners = [_listen(path)
                     for path in (self._qmp_path, self.cloud_qmp_path, self._agent_path, self._end_path)]
        try:
            with open(self.qemu_log, "wb") as log:
                self._process = subprocess.Popen(
                    self._command(image, initramfs, *(s.fileno() for s in listeners)),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    pass_fds=[s.fileno() for s in listeners], preexec_fn=_die_with_parent)
        finally:
            for listener in listeners:
                listener.close()
        self._connect_qmp()

    def wait_ready(self, timeout=BOOT_TIMEOUT_S):
        """Wait until the guest has booted: its agent answers and systemd has nothing left to do."""
        try:
            self.qmp.wait_event("VSERPORT_CHANGE", timeout, id=_AGENT_PORT, open=True)
            self._agent = Agent(self._agent_path, self._end_path, timeout)
            state = self.run("systemctl is-system-running --wait", timeout, check=False).out.strip()
        except (OSError, QMPError, AgentError) as error:
            raise self._failure("the appliance did not boot") from error
        if state != "running":
            failed = self.run("systemctl --failed --no-legend; journalctl -b -p 3 --no-pager").out
            raise self._failure(f"the appliance booted, but systemd says it is {state}:\n{failed}")
        self.qmp.command("set-action", reboot="reset")

    def connect_cloud(self, port):
        """Let CLOUD_ADDRESS mean this loopback port from now on."""
        fresh = self._forward.with_suffix(".new")
        fresh.write_text(f"exec busybox nc 127.0.0.1 {port}\n", encoding="ascii")
        fresh.rename(self._forward)

    def reset(self):
        """Pull the plug and boot again, as a crash of the host would: nothing is flushed."""
        self._agent.close()
        # A monitor remembers events it has seen; a new one cannot take the last boot for the next.
        self.qmp.close()
        self._connect_qmp()
        self.qmp.command("system_reset")
        self.wait_ready()

    def stop(self):
        """Power off. May be called at any time, and twice."""
        for connection in (self._agent, self.qmp):
            if connection:
                connection.close()
        if not self._process:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def run(self, command, timeout=300, check=True):
        """Run a shell command in the guest. With `check` a code other than 0 is an exception.

        A command that takes longer than `timeout` is killed in the guest and counts as failed.
        """
        output = self._agent.execute("/bin/sh", command, timeout=timeout)
        result = Result(output.code, output.out.decode(errors="replace"),
                        output.err.decode(errors="replace"))
        if check and result.rc != 0:
            raise CommandFailed(f"{command!r} ended with {result.rc}:\n{result.out}{result.err}")
        return result

    def spawn(self, unit, command):
        """Start a shell command in the background as a transient unit.

        Returns the guest's file that receives what it prints, complaints included.
        `systemctl stop UNIT` ends it; only the shell is told, or what its trap starts to tidy up
        could be told to end as well.
        """
        output = f"/run/{unit}.out"
        self._checked(["systemd-run", "--quiet", "--collect", f"--unit={unit}",
                       "--property=KillMode=mixed",
                       f"--property=StandardOutput=truncate:{output}", "/bin/sh", "-c", command])
        return output

    def wait_output(self, path, pattern, timeout=120):
        """Wait until a line of a growing file in the guest matches, and return that line."""
        follow = (f"exec 3< <(exec tail --lines=+1 --follow {shlex.quote(path)}); follower=$!; "
                  f"grep --max-count=1 -e {shlex.quote(pattern)} <&3; kill $follower")
        output = self._agent.execute("/bin/bash", follow, timeout=timeout)
        if output.code != 0:
            raise CommandFailed(f"no line of {path} matched {pattern!r}:\n"
                                f"{self.read_file(path).decode(errors='replace')}")
        return output.out.decode().rstrip("\n")

    def write_file(self, path, data, mode="0644"):
        """Write a file in the guest; its folder is made if need be."""
        content = data.encode() if isinstance(data, str) else data
        self._checked(["install", "-D", f"--mode={mode}", "/dev/stdin", str(path)], content)

    def read_file(self, path, size=None):
        """A file of the guest as bytes, or the first `size` of them."""
        return self._checked(["head", f"--bytes={size}" if size else "--bytes=-0", str(path)])

    def mapper_nodes(self):
        """What is in /dev/mapper, in order: device mapper's own "control" and the names."""
        return self.run("ls /dev/mapper").out.split()

    def console_tail(self, size=4000):
        """The last the guest wrote to its console, and QEMU's own complaints."""
        return "".join(path.read_text(errors="replace")[-size:]
                       for path in (self.console_log, self.qemu_log) if path.exists())

    def _connect_qmp(self):
        try:
            self.qmp = QMP(self._qmp_path, timeout=60)
        except (OSError, QMPError) as error:
            raise self._failure("QEMU does not answer") from error

    def _checked(self, argv, stdin=b""):
        output = self._agent.execute("/bin/sh", shlex.join(argv), stdin)
        if output.code != 0:
            raise CommandFailed(f"{argv} ended with {output.code}:\n{output.err.decode()}")
        return output.out

    def _failure(self, text):
        return ApplianceError(f"{text}; its console ends with:\n{self.console_tail()}")

    def _command(self, image, initramfs, qmp_fd, cloud_qmp_fd, agent_fd, end_fd):
        return [
            "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-smp", "1", "-m", "768",
            "-nodefaults", "-nographic",
            "-smbios", "type=1,manufacturer=Apache Software Foundation,"
                       f"product=CloudStack KVM Hypervisor,serial={self.vm_id},uuid={self.vm_id}",
            # A kernel that panics while it boots ends QEMU, and with it the wait; see wait_ready().
            "-action", "reboot=shutdown",
            "-kernel", str(image.kernel), "-initrd", str(initramfs),
            # On a busy machine the emulated timer ticks too rarely for the kernel's check of it, which would panic. The
            # last ones spare the emulated processor work: pages cleared twice, audit records,
            # the long waits of a kernel that need not save power, and, most of all, the translation
            # of the same program once more for each address at which the kernel loads it.
            "-append", "console=ttyS0 quiet mitigations=off net.ifnames=0 panic=-1 no_timer_check "
                       "init_on_alloc=0 rcupdate.rcu_expedited=1 norandmaps"
                       + ("" if self._audited else " audit=0"),
            "-serial", f"file:{self.console_log}",
            *self._monitor("qmp0", qmp_fd), *self._monitor("cloud0", cloud_qmp_fd),
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={agent_fd},server=on,wait=off",
            "-device", f"virtserialport,id={_AGENT_PORT},chardev=agent,"
                       "name=org.qemu.guest_agent.0",
            "-chardev", f"socket,id=end,fd={end_fd},server=on,wait=off",
            "-device", f"virtserialport,chardev=end,name={END_PORT}",
            # QEMU would be the gateway; moving it away frees the address for the cloud alone.
            "-netdev", "user,id=net0,restrict=on,host=10.0.2.254,"
                       f"guestfwd=tcp:{CLOUD_ADDRESS}-cmd:busybox sh {self._forward}",
            "-device", "virtio-net-pci,netdev=net0,romfile=",
            "-drive", f"file={image.root},format=raw,if=none,id=root,snapshot=on",
            "-device", f"virtio-blk-pci,drive=root,serial={self._root_serial}",
            "-device", "virtio-scsi-pci,id=scsi0",
        ]

    @staticmethod
    def _monitor(name, fd):
        return ["-chardev", f"socket,id={name},fd={fd},server=on,wait=off",
                "-mon", f"chardev={name},mode=control"]


def _append_overlay(tree, initramfs):
    """Pack a tree for the initramfs to copy over the root disk."""
    with tempfile.TemporaryDirectory() as name:
        overlay = Path(name, "overlay")
        shutil.copytree(tree, overlay, symlinks=True)
        overlay.chmod(0o755)    # it becomes the mode of the guest's /
        # On the root disk these are links into /usr, which a copied folder must not meet.
        for link in ("bin", "lib", "sbin"):
            if (overlay / link).is_dir():
                shutil.copytree(overlay / link, overlay / "usr" / link, symlinks=True,
                                dirs_exist_ok=True)
                shutil.rmtree(overlay / link)
        lab_image.pack(Path(name), initramfs, append=True)


def _listen(path):
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
