# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulator as a program; see `--help`."""

import argparse
import json
import logging
import os
import secrets
import signal
import sys
from pathlib import Path

from . import ids
from .faults import HELP as FAULT_HELP
from .plug import PlugError
from .settings import HELP as SETTING_HELP
from .sim import CloudSim

DESCRIPTION = """\
A CloudStack simulator for tests. It serves /client/api (signed) and a control API under /_sim/
(unsigned, JSON) on 127.0.0.1 until SIGTERM or SIGINT, then unplugs what it plugged."""

EPILOG = f"""\
plug back ends, for volumes attached to the appliance:
  none                no disks
  tree:DIR            DIR/block looks like /sys/block, DIR/dev/NAME stands for the node
  loop:DIR            loop devices over DIR/VOLUME.img (root)
  qmp:SOCKET,DIR      hot-plug into a running QEMU, disk images in DIR

control API (POST bodies are JSON objects of the arguments):
  GET state           GET, DELETE requests        POST, DELETE faults
  POST restart {{effects}}   POST down {{seconds}}   POST up   POST hurry
  POST plug {{size, serial, bus, name}}            POST unplug {{key | name}}
  POST volume {{id, name, size, state, vm, ...}}   POST vm {{id, name, state, ...}}
  POST attach-behind {{volume, vm, row, guest}}    POST detach-behind {{volume, row, guest}}
  POST account {{name, admin, forbidden, limit_gib, limit_volumes, ...}}
  POST project {{name, members}}                   POST set {{SETTING, ...}}

a fault rule is {{"do": KIND, "command": NAME or "*", "volume": ID, "nth": 1, "times": 1, ...}};
times 0 is for ever.
{FAULT_HELP}
{SETTING_HELP}"""


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="cloudsim", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes any free port")
    parser.add_argument("--port-file", type=Path, help="write the port here when ready")
    for what in ("api", "secret"):
        parser.add_argument(f"--{what}-key-file", type=Path, metavar="FILE",
                            help="read the key from here; a missing file is made with a random "
                                 "one (default: a fixed, well-known key)")
    parser.add_argument("--appliance", default=ids.APPLIANCE_VM, metavar="UUID",
                        help="the appliance's machine id (default %(default)s)")
    parser.add_argument("--zone", default=ids.ZONE, metavar="UUID",
                        help="the zone's id (default %(default)s)")
    parser.add_argument("--plug", default="none", help="how disks appear (default %(default)s)")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="a fault script, JSON")
    parser.add_argument("--seed", type=int, default=0,
                        help="of the ids it will give out (default %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="log requests to standard error")
    return parser.parse_args(argv)


def read_key(path, default):
    """The key in a file, which is made if it is not there."""
    if path is None:
        return default
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_urlsafe(64) + "\n")
    return path.read_text().strip()


def write_port(path, port):
    """Whoever waits for the file must never read half a number."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(f"{port}\n")
    fresh.rename(path)


def start(options):
    faults = json.loads(options.faults.read_text()) if options.faults else []
    return CloudSim(options.port, options.plug,
                    api_key=read_key(options.api_key_file, ids.API_KEY),
                    secret_key=read_key(options.secret_key_file, ids.SECRET_KEY),
                    appliance=options.appliance, zone=options.zone, seed=options.seed,
                    faults=faults)


def main(argv=None):
    options = parse_arguments(argv)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING,
                        format="cloudsim: %(message)s")
    # Blocked before any thread starts, so that only sigwait() below ever sees them.
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        sim = start(options)
    except (OSError, ValueError, PlugError) as error:
        print(f"cloudsim: {error}", file=sys.stderr)
        return 1
    with sim:
        if options.port_file:
            write_port(options.port_file, sim.port)
        print(f"listening on {sim.url}", flush=True)
        signal.sigwait(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
