# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys and signatures are nowhere but on the wire to CloudStack.

At its most talkative, in its errors, its command line, its store and on its surfaces: neither the
API key nor the secret key, nor anything that was signed with it.
"""

import contextlib
import json
import re
import socket
from pathlib import Path

import pytest
from cloudsim import OTHER_VM
from support.py.secrecy import assert_no_secret, core_of, everything_said
from support.py.streams import Stream
from support.py.waiting import eventually


def test_in_a_good_life(world):
    volume, _ = world.attached()
    for operation in (world.daemon.detach(volume), world.daemon.attach(volume, OTHER_VM),
                      world.daemon.delete(volume)):
        world.daemon.completed(operation)
    for where, text in everything_said(world):
        assert_no_secret(world, where, text)
    assert "cloud: attachVolume" in world.daemon.text       # it was at its most talkative


@pytest.mark.parametrize("rule", [
    {"do": "status", "code": 401}, {"do": "status", "code": 431}, {"do": "html", "code": 502},
    {"do": "html", "code": 200}, {"do": "cut_before"}, {"do": "cut_after"}, {"do": "empty"},
    {"do": "slow", "seconds": 1.5}, {"do": "date_skew", "seconds": 3600}],
    ids=lambda rule: f"{rule['do']} {rule.get('code', '')}".strip())
def test_in_errors(make_world, rule):
    world = make_world(cloud={"timeout": "1s"})
    volume = world.volume()
    world.cloud.set_faults([{**rule, "command": command}
                            for command in ("listVolumes", "attachVolume", "queryAsyncJobResult")])
    operation = world.daemon.attach(volume)
    world.daemon.ended(operation)
    for where, text in everything_said(world):
        assert_no_secret(world, where, text)


def test_when_there_is_nobody_to_talk_to(make_world):
    world = make_world(start=False)
    world.cloud.down()
    world.bus.start()
    world.daemon.start()
    eventually(lambda: "could not be asked" in world.daemon.health()["cloudstack_health"], "it")
    for where, text in everything_said(world):
        assert_no_secret(world, where, text)


@pytest.mark.parametrize("url", ["http://user:{key}@127.0.0.1/client/api",
                                 "http://127.0.0.1/client/api?apikey={key}",
                                 "127.0.0.1/client/api?apikey={key}"])
def test_in_an_address(make_world, url):
    world = make_world(start=False)
    world.daemon.configure(cloud={"url": url.format(key=world.cloud.api_key)})
    world.daemon.launch()
    assert world.daemon.exits() == 1
    assert_no_secret(world, "log", world.daemon.text)


def test_in_events_and_signals_and_the_state_that_systemd_is_told(make_world):
    world = make_world(start=False)
    path = world.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        world.bus.environment["NOTIFY_SOCKET"] = str(path)
        world.start()
        with Stream(world.daemon) as stream, world.monitor() as monitor:
            world.cloud.set_faults([{"do": "status", "code": 401, "command": "detachVolume"}])
            volume, _ = world.attached()
            world.daemon.ended(world.daemon.detach(volume))
            deleted = world.daemon.ended(world.daemon.create())
            monitor.completed(deleted["id"])
            stream.ended(deleted["id"])
            for where, text in everything_said(world):
                assert_no_secret(world, where, text)
            for event in stream.all():
                assert_no_secret(world, "event", json.dumps(event.data))
            for message in monitor.messages.all():
                assert_no_secret(world, "signal", json.dumps(message.arguments))
        states = []
        told.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                states.append(told.recv(65536).decode())
        assert any("refused" in state for state in states)
        assert_no_secret(world, "state", "\n".join(states))


def test_in_a_core_dump(world):
    """The program is told to leave none; and one that somebody takes all the same has no secret key."""
    world.attached()
    process = world.daemon.process.pid
    limits = Path(f"/proc/{process}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), limits
    core = core_of(process)
    assert b"volume-daemon" in core and world.cloud.secret_key.encode() not in core


def test_the_store_is_for_the_daemon_s_user_only(world):
    world.attached()
    for file in world.folder.glob("volume-daemon.db*"):
        assert file.stat().st_mode & 0o077 == 0, file
