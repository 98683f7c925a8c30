# SPDX-License-Identifier: LGPL-2.1-or-later
"""Build what the appliance VM boots from: a kernel, an initramfs and a root disk, all from Debian.

The guest is the Debian release of the host, because the program under test is built on the host
and must find the same libraries. mmdebstrap makes the root file system; the kernel is the package
`linux-image-amd64` depends on, unpacked but never installed, so the host's own kernel does not
matter. From its thousands of modules only those the tests need go into the guest. The initramfs
(busybox and a few lines of shell) mounts the disk, copies over it whatever a test session appended
to the archive under /overlay, and hands over to systemd.

A build takes about a minute and is cached under a name that hashes this file: a changed recipe is a
new image, an unchanged one is found at once. Deleting the cache folder is always safe. Nothing is
installed on the host; the tools needed are listed in the file `packages` beside this one, and apt's
package lists must be there (`apt-get update`).

Run as a program (python3 -m system.lab.image, in the folder `tests`) it builds the image if need be and
prints its folder.
"""

import hashlib
import lzma
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support.py import debian
from support.py.cache import cached

LAB = Path(__file__).resolve().parent

# A system that boots to D-Bus, with the libraries the daemon links, the programs that export disks
# (qemu-system-common has qemu-storage-daemon) and clients for them, polkit, AppArmor, and LVM, which
# takes what it knows on a disk that comes. So the packages of the daemon can be installed without a network. The
# two sanitizer libraries let a build made with -Db_sanitize run in the guest as well.
GUEST_PACKAGES = (
    "apparmor", "ca-certificates", "curl", "dbus", "e2fsprogs", "iproute2", "kmod", "polkitd", "qemu-guest-agent",
    "systemd", "systemd-sysv", "udev", "util-linux",
    "libblkid1", "libcjson1", "libcurl4", "libdevmapper1.02.1", "libevent-2.1-7",
    "libevent-core-2.1-7", "libevent-extra-2.1-7", "libevent-openssl-2.1-7",
    "libevent-pthreads-2.1-7", "libinih1", "libmariadb3", "libsqlite3-0", "libssl3", "libsystemd0",
    "libnbd-bin", "lvm2", "nbdkit", "qemu-system-common", "qemu-utils",
    "libasan8", "libubsan1",
)

# Loaded by the initramfs, in this order: what it takes to see the root disk and the network.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4", "virtio_net")

# Left for udev or the daemon to load once the system runs.
GUEST_MODULES = BOOT_MODULES + (
    "virtio_console", "virtio_scsi", "sd_mod", "dm_mod", "nbd", "loop")

# The guest does not have: login prompts on the console, which belongs to the log; timers that wake up
# in the middle of a test; services of LVM and of a start that most tests do not use. Under emulation
# each costs a second of the processor at each boot.
MASKED_UNITS = (
    "apparmor.service", "serial-getty@ttyS0.service", "getty@tty1.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer",
    "lvm2-lvmpolld.socket", "lvm2-monitor.service",
    "dev-hugepages.mount", "dev-mqueue.mount", "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-binfmt.service",
    "systemd-firstboot.service", "systemd-pcrphase-sysinit.service", "systemd-pcrphase.service",
    "systemd-random-seed.service", "systemd-repart.service", "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service",
)

# Nor udev's rules for devices it has not: udevd goes through all rules for each event of each disk.
MASKED_RULES = (
    "60-autosuspend", "60-cdrom_id", "60-drm", "60-evdev", "60-fido-id", "60-infiniband",
    "60-input-id", "60-persistent-alsa", "60-persistent-input", "60-persistent-storage-tape",
    "60-persistent-v4l", "60-sensor", "60-serial", "64-btrfs", "70-camera", "70-joystick",
    "70-memory", "70-mouse", "70-power-switch", "70-touchpad", "70-uaccess", "71-seat",
    "73-seat-late", "73-special-net-names", "75-net-description", "75-probe_mtd", "78-sound-card",
    "81-net-dhcp", "85-hwclock", "96-e2scrub",
)

# The guest's whole configuration beyond Debian's defaults; None masks what the package brings.
GUEST_FILES = {
    "etc/hostname": "appliance\n",
    "etc/hosts": "127.0.0.1 localhost appliance\n",
    "etc/fstab": "",
    **{f"etc/systemd/system/{unit}": None for unit in MASKED_UNITS},
    **{f"etc/udev/rules.d/{name}.rules": None for name in MASKED_RULES},
}

# QEMU's user network gives the guest this address; see vm.py for what it can reach.
GUEST_ADDRESS = "10.0.2.15/24"

# The kernel's accelerated checksum modules refuse an emulated CPU, hence the ignored errors: if a
# module was really needed, mounting fails right after and says so, and the VM ends.
INIT = f"""\
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module" 2>/dev/null; done
ip link set lo up
ip address add {GUEST_ADDRESS} dev eth0
ip link set eth0 up
mount -t ext4 /dev/vda /root || poweroff -f
[ ! -d /overlay ] || cp -a /overlay/. /root/
mount --move /dev /root/dev
umount /sys /proc
exec switch_root /root /sbin/init
"""

DISK_SIZE = "1G"


class Image(NamedTuple):
    """A finished build."""

    kernel: Path
    initramfs: Path
    root: Path

    @classmethod
    def in_folder(cls, folder):
        return cls(folder / "vmlinux", folder / "initramfs.cpio", folder / "root.ext4")


def get():
    """The image for the present recipe, built now if the cache lacks it."""
    return Image.in_folder(cached(hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16], _build_image))


def pack(tree, archive, append=False):
    """Write a folder as a cpio archive the kernel unpacks, owned by root.

    The kernel accepts several archives one after the other; `append` adds one.
    """
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    with open(archive, "ab" if append else "wb") as out:
        _run("cpio", "--create", "--format=newc", "--owner=0:0", "--quiet", cwd=tree,
             input="\n".join(names).encode(), stdout=out)


def _build_image(result, work):
    missing = [tool for tool in ("apt-get", "busybox", "cpio", "depmod", "dpkg", "mke2fs",
                                 "mmdebstrap", "modprobe") if not shutil.which(tool)]
    if missing:
        raise RuntimeError(f"to build the appliance, {', '.join(missing)} must be installed: "
                           f"see {LAB / 'packages'}")
    image = Image.in_folder(result)
    kernel = _unpack_kernel(work)
    image.kernel.write_bytes(_uncompressed(next(kernel.glob("boot/vmlinuz-*")).read_bytes()))
    _make_initramfs(work, kernel, image.initramfs)
    _make_root(work, kernel, image.root)


def _unpack_kernel(work):
    """Download the kernel package `linux-image-amd64` stands for, and unpack it."""
    depends = _run("apt-cache", "depends", "--important", "linux-image-amd64")
    package = depends.split("Depends:")[1].split()[0]
    _run("apt-get", "download", package, cwd=work)
    kernel = work / "kernel"
    _run("dpkg", "-x", next(work.glob("linux-image-*.deb")), kernel)
    _run("depmod", "-b", kernel, _version(kernel))
    return kernel


def _uncompressed(vmlinuz):
    """The ELF file in a kernel image. QEMU starts it by its PVH entry, and an emulated processor is
    spared a third of the boot, which it would spend on unpacking."""
    start = vmlinuz.index(b"\xfd7zXZ\0")
    return lzma.LZMADecompressor().decompress(vmlinuz[start:])


def _version(kernel):
    return next(kernel.glob("lib/modules/*")).name


def _modules(kernel, names):
    """The files of the named modules and of all they need, in the order they must be loaded."""
    files = {}
    for name in names:
        shown = _run("modprobe", "-d", kernel, "-S", _version(kernel), "--show-depends", name)
        for line in shown.splitlines():
            action, file = line.split()[:2]
            if action == "insmod":
                files[Path(file)] = None
    return list(files)


def _make_initramfs(work, kernel, archive):
    tree = work / "initramfs"
    for folder in ("bin", "dev", "modules", "proc", "root", "sys"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tree / "bin" / "busybox")
    (tree / "init").write_text(INIT, encoding="utf-8")
    (tree / "init").chmod(0o755)
    for number, module in enumerate(_modules(kernel, BOOT_MODULES)):
        shutil.copy(module, tree / "modules" / f"{number:02}-{module.name}")
    pack(tree, archive)


def _make_root(work, kernel, disk):
    files = work / "files"
    for name, text in GUEST_FILES.items():
        path = files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.symlink_to("/dev/null")
        else:
            path.write_text(text, encoding="utf-8")

    version = _version(kernel)
    modules = work / "modules"
    for module in _modules(kernel, GUEST_MODULES):
        path = modules / module.relative_to(kernel)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, path)
    for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(kernel / "lib/modules" / version / index, modules / "lib/modules" / version)
    _run("depmod", "-b", modules, version)

    # The disk is made inside mmdebstrap's last hook: only there do the files belong to root when
    # the build itself runs without privilege. The plain bind mount hides /proc and /sys, which are
    # mounted meanwhile; apt's lists and archives are dead weight by then, and a script of mmdebstrap's is
    # still there that would forbid packages to start and restart services.
    make_disk = (f'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*'
                 f' && mkdir "$1.bare" && mount --bind "$1" "$1.bare"'
                 f' && mke2fs -q -t ext4 -d "$1.bare" "$1.ext4" {DISK_SIZE}'
                 f' && debugfs -w -R "rm usr/sbin/policy-rc.d" "$1.ext4"'
                 f' && umount "$1.bare" && rmdir "$1.bare" && mv "$1.ext4" "$1/root.ext4"')
    settings = work / "apt.conf"
    settings.write_text(debian.apt_settings(), encoding="utf-8")
    # As root in a mount namespace of its own: a program of the host that looks through /tmp meanwhile
    # would keep what mmdebstrap mounts there busy. Without privilege mmdebstrap makes one itself.
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else []
    _run(*alone, "mmdebstrap", "--quiet", "--variant=minbase", "--format=null", f"--aptopt={settings}",
         f"--include={','.join(GUEST_PACKAGES)}",
         f"--customize-hook=copy-in {shlex.quote(str(files / 'etc'))} /",
         f"--customize-hook=copy-in {shlex.quote(str(modules / 'lib/modules'))} /usr/lib",
         f"--customize-hook={make_disk}",
         f"--customize-hook=download /root.ext4 {shlex.quote(str(disk))}",
         debian.suite(), "/dev/null", *debian.sources())
    _run("fallocate", "--dig-holes", disk)


def _run(*command, **options):
    """Run a host tool and return what it printed; its complaints become the exception's text."""
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([str(word) for word in command], stderr=subprocess.PIPE, check=False,
                          **options)
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace")[-4000:]
        raise RuntimeError(f"{shlex.join(map(str, command))} failed:\n{complaint}")
    return (done.stdout or b"").decode()


if __name__ == "__main__":
    try:
        print(get().root.parent)
    except RuntimeError as error:
        sys.exit(str(error))
