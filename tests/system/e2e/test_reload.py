# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration of a running daemon is read anew.

A configuration with an error changes nothing, and the answer names the error's place. What can
change without a restart does, at once and for all surfaces; what cannot is named. Over REST, D-Bus
and with volumectl the method is the same row of the table (test_life.py); here is what it does.
"""

import os
import signal
import socket
import subprocess
import threading

import pytest
from support.py.harness import config_text
from support.py.ports import free_port
from support.py.programs import program
from support.py.waiting import DEADLINE, eventually

RELOAD = "/api/v1/admin/reload"


def reload(world, **changes):
    """Perhaps changes the file, makes the daemon read it, and returns the two lists of keys."""
    if changes:
        world.daemon.configure(**changes)
    answer = world.daemon.rest("POST", RELOAD)
    assert answer.status == 200, answer.body
    return answer.json["report"]["changed"], answer.json["report"]["needs_restart"]


def refused(world, text=None):
    if text is not None:
        world.daemon.config.write_text(text)
    answer = world.daemon.rest("POST", RELOAD)
    assert (answer.status, answer.json["code"]) == (409, "CONFLICT"), answer.body
    return answer.json["error"]


def file_says(world, message):
    """The daemon tells in its log what it has read."""
    return world.daemon.log.wait(lambda line: message in line)


# ---- what is refused ----

@pytest.mark.parametrize("section, key, value, words", [
    ("cloud", "timeout", "soon", "cloud.timeout must be a duration"),
    ("cloud", "tmeout", "3s", '[cloud] has no key "tmeout"'),
    ("cloud", "poll_min", "50s", "cloud.poll_min must not be more"),
    ("cloud", "ca_file", "/nonexistent/ca.pem", "/nonexistent/ca.pem"),
    ("cloud", "secret_key_file", "/nonexistent/key", "/nonexistent/key"),
    ("http", "listen", "0.0.0.0:8090", "0.0.0.0:8090"),
    ("export", "engine", "samba", "export.engine must be one of"),
    ("store", "url", "oracle://x", "a store url cannot begin with"),
    ("store", "password_file", "/nonexistent/password", "/nonexistent/password"),
    ("device", "sysfs_root", "/nonexistent", "/nonexistent/block"),
    ("log", "level", "info,clowd=debug", 'there is no module "clowd"')])
def test_an_error_is_named_with_its_line_and_changes_nothing(world, section, key, value, words):
    good = world.daemon.config.read_text()
    world.daemon.configure(operations={"max": "1"}, **{section: {key: value}})
    line = world.daemon.config.read_text().split("\n").index(f"{key} = {value}") + 1
    error = refused(world)
    assert f"{world.daemon.config}:{line}: " in error and words in error, error
    assert "the old one stays in force" in error
    assert error in file_says(world, "refused")
    # --check-config says the same of the same file, and so would a start.
    checked = subprocess.run([program("volume-daemon"), "--config", world.daemon.config, "--check-config"],
                             env=world.bus.environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert checked.returncode == 1 and error.split("in force: ")[1] in checked.stderr
    # None of it is in force, not even the good key: two operations at once go on as before.
    for volume in (world.volume(), world.volume()):
        world.daemon.attach(volume)
    world.daemon.config.write_text(good)
    assert reload(world) == ([], [])


def test_a_key_file_that_others_may_read(world):
    (world.folder / "api-key").chmod(0o644)
    error = refused(world)
    assert "0644" in error and "chmod 600" in error and world.cloud.api_key not in error
    world.attached()


def test_a_file_that_is_gone_does_not_mean_defaults(world):
    text = world.daemon.config.read_text()
    world.daemon.config.unlink()
    assert f"{world.daemon.config}: No such file" in refused(world)
    world.daemon.config.write_text(text)
    assert reload(world) == ([], [])


def test_the_address_cannot_be_taken_away(world):
    text = config_text({**world.daemon.sections, "cloud": {}})
    world.daemon.config.write_text(text)
    answer = world.daemon.rest("POST", RELOAD)
    assert answer.status == 200
    lists = answer.json["report"]
    if "sqlite" in str(world.daemon.sections["store"]["url"]):
        assert {"cloud.url", "cloud.api_key_file", "cloud.secret_key_file"} <= set(lists["needs_restart"])
    world.attached()


# ---- what changes ----

def test_a_signal_is_enough(world):
    world.daemon.configure(log={"level": "warning"}, device={"buses": "virtio"})
    world.daemon.process.send_signal(signal.SIGHUP)
    # The level is in force when the line about it is written.
    eventually(lambda: reload(world) == ([], ["device.buses"]), "the file was read for the signal")
    before = len(world.daemon.log)
    world.attached()
    assert not [line for line in world.daemon.log.all(before) if line[:3] in ("<5>", "<6>", "<7>")]


def test_levels_of_modules(world):
    assert reload(world, log={"level": "warning,cloud=debug"}) == (["log.level"], [])
    before = len(world.daemon.log)
    world.attached()
    heard = [line for line in world.daemon.log.all(before) if line.startswith("<7>")]
    assert heard and all("cloud: " in line for line in heard), heard


def test_new_keys_of_cloudstack(world):
    """The files keep their names; the old keys are not valid any more."""
    world.cloud.put_account("admin", api_key="api-of-tomorrow", secret_key="secret-of-tomorrow")
    (world.folder / "api-key").write_text("api-of-tomorrow\n")
    (world.folder / "secret-key").write_text("secret-of-tomorrow\n")
    assert reload(world) == (["cloud.api_key_file", "cloud.secret_key_file"], [])
    world.daemon.wait_healthy()
    world.attached()
    assert "of-tomorrow" not in world.daemon.text


def test_limits_and_access(world):
    changed, waits = reload(world, http={"require_token": "yes"})
    assert (changed, waits) == (["http.require_token"], [])
    assert world.daemon.rest("GET", "/api/v1/volumes").status == 401
    world.daemon.configure(http={"require_token": "no", "loopback_access": "read"})
    assert world.daemon.ctl("reload").returncode == 0
    assert world.daemon.rest("GET", "/api/v1/volumes").status == 200
    assert world.daemon.rest("POST", RELOAD).status == 403
    assert "may read" in world.daemon.health()["details"]["rest_access"]


def test_a_bound_on_operations(world):
    world.cloud.set_faults([{"do": "slow", "seconds": 600, "command": "attachVolume", "times": 0}])
    assert reload(world, operations={"max": "1"}) == (["operations.max"], [])
    world.daemon.attach(world.volume())
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{world.volume()}/attach",
                               {"vm_id": world.daemon.sections["appliance"]["vm_id"]})
    assert answer.status == 429, answer.body
    reload(world, operations={"max": "2"})
    world.daemon.attach(world.volume())
    world.cloud.set_faults([])


def test_what_waits_for_a_restart_waits(world):
    port = free_port()
    assert reload(world, http={"listen": f"127.0.0.1:{port}"}) == ([], ["http.listen"])
    # It is told again, as long as it is true.
    assert reload(world) == ([], ["http.listen"])
    world.daemon.stop()
    world.daemon.start()
    assert world.daemon.port == port and reload(world) == ([], [])


# ---- together with others ----

def test_reloads_race_with_each_other_and_with_operations(world):
    """Every answer belongs to a file as it was after the request, and no operation notices."""
    answers, volumes = [], [world.volume() for _ in range(6)]

    def ask():
        for _ in range(5):
            answers.append(world.daemon.rest("POST", RELOAD).status)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    operations = [world.daemon.attach(volume) for volume in volumes]
    for _ in range(20):
        world.daemon.process.send_signal(signal.SIGHUP)
    for asker in askers:
        asker.join()
    assert answers == [200] * 20
    for operation in operations:
        world.daemon.completed(operation)
    assert reload(world, cloud={"timeout": "3s"}) == (["cloud.timeout"], [])


def test_systemd_hears_of_it(make_world):
    """As sd_notify(3) says: RELOADING with a time, then READY; a refusal is the unit's status."""
    world = make_world(start=False)
    path = world.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(DEADLINE)
        world.bus.environment["NOTIFY_SOCKET"] = str(path)
        world.start()

        def next_state():
            while "WATCHDOG" in (text := heard.recv(65536).decode()):
                pass
            return text

        assert next_state().startswith("READY=1")
        world.daemon.rest("POST", RELOAD)
        begun = next_state()
        assert begun.startswith("RELOADING=1\nMONOTONIC_USEC=") and begun.split("USEC=")[1].split("\n")[0].isdigit()
        assert next_state().startswith("READY=1")
        assert "log.level" in refused(world, "[log]\nlevel = loud\n")
        assert next_state().startswith("RELOADING=1")
        ended = next_state()
        assert ended.startswith("READY=1") and "log.level" in ended.split("STATUS=")[1]
        world.daemon.configure()
        world.daemon.stop()


def test_a_watchdog_is_fed(make_world):
    world = make_world(start=False)
    path = world.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(DEADLINE)
        world.bus.environment |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "500000"}
        world.start()
        signs = 0
        while signs < 3:
            signs += heard.recv(65536).decode().startswith("WATCHDOG=1")
        # A daemon that is stopped gives none: only what was said before is left in the socket.
        world.daemon.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, world.daemon.process.pid, os.WSTOPPED | os.WNOWAIT)
        heard.setblocking(False)
        try:
            while heard.recv(65536):
                pass
        except BlockingIOError:
            pass
        heard.settimeout(2)
        with pytest.raises(TimeoutError):
            heard.recv(65536)
        world.daemon.process.send_signal(signal.SIGCONT)
        heard.settimeout(DEADLINE)
        assert heard.recv(65536).decode().startswith("WATCHDOG=1")
