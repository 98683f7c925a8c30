#!/usr/bin/python3
"""systemd accepts the units of data/, and the services are as closed as their comments say.

`systemd-analyze` examines unit files without a running systemd. A setting that stays off stands in the unit with its
reason, and with the exposure that systemd counts for it: this list and that of systemd are the same. Use: units.py
UNIT...
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

# Tenths: what no more than this much is left open.
EXPOSURE_MAX = {"volume-daemon.service": 24, "volume-daemon-export.service": 24}
# Programs of ours are not installed where the tests run.
OURS = re.compile(r"(?m)^(Exec\w+=)\S*(volume-daemon|volumectl)(?= |$)")
REASON = re.compile(r"(?m)^#   (\S+) \((\d\.\d)\) +\S")


def analyze(*arguments):
    """Run systemd-analyze and return its output; it says nothing on standard error if all is well."""
    done = subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def check_syntax(units):
    with tempfile.TemporaryDirectory() as name:
        copies = []
        for unit in units:
            # A template is examined by an instance of it.
            copies.append(pathlib.Path(name, unit.name.replace("@.", "@data.")))
            copies[-1].write_text(OURS.sub(r"\1/bin/true", unit.read_text()))
        analyze("verify", "--man=no", *copies)


def check_exposure(unit):
    analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX[unit.name]}", unit)
    rows = json.loads(analyze("security", "--offline=yes", "--json=short", unit))
    left_open = {(row["name"], row["exposure"]) for row in rows if float(row["exposure"] or 0)}
    reasons = set(REASON.findall(unit.read_text()))
    assert reasons == left_open, f"{unit.name}: without a reason {left_open - reasons}, not open {reasons - left_open}"


def main(units):
    services = [unit for unit in units if unit.name in EXPOSURE_MAX]
    assert len(services) == len(EXPOSURE_MAX)
    check_syntax(units)
    for unit in services:
        check_exposure(unit)


if __name__ == "__main__":
    main([pathlib.Path(argument) for argument in sys.argv[1:]])
