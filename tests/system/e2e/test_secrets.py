"""Keys and signatures are nowhere but on the wire to CloudStack.

At its most talkative, in its errors, its command line, its store and on its surfaces: neither the
API key nor the secret key, nor anything that was signed with it.
"""

import pytest
from cloudsim import OTHER_VM
from support.py.secrecy import assert_no_secret, everything_said
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


def test_the_store_is_for_the_daemon_s_user_only(world):
    world.attached()
    for file in world.folder.glob("volume-daemon.db*"):
        assert file.stat().st_mode & 0o077 == 0, file
