# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon's regular scan of the disks costs, beside a plain listing of their folder."""

import re
import subprocess

from rig import BenchError, program
from table import growth, ratio_at_most, single

SIZES = (10, 100, 1000, 10000)
SECTORS = 2 << 20


def measure(bench):
    times = {}
    for count in bench.sizes(*SIZES):
        top = bench.run / f"disks-{count}"
        make_disks(top, count)
        done = subprocess.run([program(bench.build, "tests/bench/bench_scan"), str(top), "/dev"], capture_output=True,
                              text=True)
        found = re.match(r"([\d.]+) us, ([\d.]+) us, (\d+) disks", done.stdout)
        if not found or int(found[3]) != count:
            raise BenchError(f"bench_scan: {done.stdout}{done.stderr}")
        times[count] = float(found[1])
        yield single(f"scan of {count:,} disks", times[count], "µs", float(found[2]), aim=ratio_at_most(1.5),
                     how="medians of 101, in turns; a folder that looks like sysfs")
    if len(times) > 1:
        yield growth("scan", times)


def make_disks(top, count):
    """As many virtio disks, with the attributes that the daemon reads."""
    for index in range(count):
        disk = top / "block" / name_of(index)
        disk.mkdir(parents=True)
        for attribute, value in (("dev", f"254:{16 * index}"), ("size", SECTORS), ("diskseq", index + 1), ("ro", 0),
                                 ("serial", f"{index:020x}")):
            (disk / attribute).write_text(f"{value}\n")


def name_of(index):
    """vda to vdz, vdaa and so on."""
    letters = ""
    while index >= 0:
        letters = chr(ord("a") + index % 26) + letters
        index = index // 26 - 1
    return f"vd{letters}"
