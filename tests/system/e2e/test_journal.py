# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log as systemd's journal has it, with a real journald.

The daemon runs in a mount namespace of its own whose /run holds a journald; its stderr is a stream
of that journald, as systemd would have made it. What the journal takes comes back through
journalctl, so the test waits for lines as for those of any other daemon.
"""

import json
import os
import re
import subprocess

import pytest
from support.py.harness import TOP, BusError
from support.py.programs import program
from support.py.secrecy import assert_no_secret
from support.py.stores import any_store
from support.py.waiting import DEADLINE, eventually

JOURNALD = "/lib/systemd/systemd-journald"
JOURNALS = "/run/log/journal"
LOG_CONTROL = ("/org/freedesktop/LogControl1", "org.freedesktop.LogControl1")

# journalctl follows only a journal that has an entry; journald's first one is about itself. The helpers end with the
# process that becomes the daemon. What journalctl follows is what the test reads as the log.
START = f"""
mount -t tmpfs tmpfs /run && mkdir -p {JOURNALS} /run/systemd/journal || exit 1
setpriv --pdeathsig KILL {JOURNALD} 2>/run/journald.log &
until journalctl --directory={JOURNALS} --quiet --lines=1 2>/dev/null | grep -q .; do sleep 0.05; done
setpriv --pdeathsig KILL journalctl --directory={JOURNALS} --follow --lines=all --output=cat >&2 &
exec systemd-cat sh -c 'export JOURNAL_STREAM=$(stat --dereference --format=%d:%i /proc/self/fd/2); exec "$@"' sh "$@"
"""

pytestmark = [any_store, pytest.mark.skipif(os.getuid() != 0, reason="needs a mount namespace")]


class Journal:
    def __init__(self, world):
        self.world = world
        world.daemon.starter = ["unshare", "--mount", "--propagation=private", "sh", "-c", START, "sh"]

    def entries(self, *matches):
        """The entries with these fields, oldest first."""
        done = subprocess.run(["nsenter", f"--mount=/proc/{self.world.daemon.process.pid}/ns/mnt", "journalctl",
                               f"--directory={JOURNALS}", "--output=json", "--all", *matches],
                              capture_output=True, text=True, timeout=DEADLINE, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait(self, *matches):
        return eventually(lambda: self.entries(*matches), f"an entry with {matches}")


@pytest.fixture
def journal(make_world):
    world = make_world(start=False)
    journal = Journal(world)
    try:
        yield journal
    finally:
        # With its helpers, which are no leak of the daemon's.
        if world.daemon.process:
            world.daemon.kill()


def messages():
    """Name and id of each kind of message."""
    source = (TOP / "src/spec/messages.c").read_text()
    return dict(re.findall(r'\.name = "([\w-]+)",\s*\.id = "([0-9a-f]{32})"', source))


def test_the_life_of_an_operation_by_its_fields(journal):
    world = journal.world
    world.start()
    volume = world.volume()
    operation = world.daemon.completed(world.daemon.attach(volume))["id"]
    journal.wait(f"MESSAGE_ID={messages()['operation-completed']}", f"OPERATION_ID={operation}")
    entries = journal.entries(f"OPERATION_ID={operation}")
    names = {id: name for name, id in messages().items()}
    assert [names[e["MESSAGE_ID"]] for e in entries if names[e["MESSAGE_ID"]] != "operation-step"] == \
        ["operation-accepted", "operation-completed"]
    assert {"check", "ask-cloud", "await-device"} <= {e["STEP"] for e in entries if "STEP" in e}
    for entry in entries:
        assert entry["VOLUME_ID"] == volume and entry["OPERATION_TYPE"] == "attach"
        assert (entry["MODULE"], entry["SYSLOG_IDENTIFIER"]) == ("core", "volume-daemon")
        assert entry["_TRANSPORT"] == "journal"
        assert not entry["MESSAGE"].startswith("<")
    assert json.loads(entries[0]["ACTOR"])["surface"] == "rest"
    assert {e["PRIORITY"] for e in entries} == {"6", "7"}
    # The disk that came is found by its name.
    path = world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"]
    assert journal.entries(f"MESSAGE_ID={messages()['device-appeared']}", f"DEVICE={path}")
    for entry in journal.entries():
        assert_no_secret(world, "journal", json.dumps(entry))


def test_a_failure_has_its_code(journal):
    world = journal.world
    world.start()
    world.cloud.set_faults([{"do": "job_fail", "code": 530, "command": "attachVolume"}])
    failed = world.daemon.failed(world.daemon.attach(world.volume()))
    entry = journal.wait(f"MESSAGE_ID={messages()['operation-failed']}")[0]
    assert (entry["OPERATION_ID"], entry["ERROR_CODE"], entry["PRIORITY"]) == \
        (failed["id"], failed["error_code"], "4")
    assert failed["error"] in entry["MESSAGE"]


def test_a_drift_and_a_refused_configuration(journal):
    world = journal.world
    world.start()
    volume, _ = world.attached()
    world.cloud.detach_behind(volume)
    world.daemon.rest("POST", "/api/v1/admin/force-sync")
    assert journal.wait(f"MESSAGE_ID={messages()['drift-found']}")[0]["VOLUME_ID"] == volume
    world.daemon.config.write_text("[log]\nlevel = loud\n")
    world.daemon.rest("POST", "/api/v1/admin/reload")
    entry = journal.wait(f"MESSAGE_ID={messages()['configuration-refused']}")[0]
    assert f"{world.daemon.config}:2: log.level" in entry["MESSAGE"]


def test_the_catalog_explains_each_kind_with_fields_that_its_entries_have(journal):
    done = subprocess.run([program("volume-daemon"), "--print-catalog"], capture_output=True, text=True, check=True)
    assert done.stdout == (TOP / "data/volume-daemon.catalog").read_text()
    assert re.findall(r"^-- ([0-9a-f]{32})$", done.stdout, re.MULTILINE) == list(messages().values())
    assert len(set(messages().values())) == len(messages())
    # journald's own tool takes the file.
    folder = journal.world.folder / "root"
    (folder / "usr/lib/systemd/catalog").mkdir(parents=True)
    (folder / "var/lib/systemd/catalog").mkdir(parents=True)
    (folder / "usr/lib/systemd/catalog/volume-daemon.catalog").write_text(done.stdout)
    listed = subprocess.run(["journalctl", f"--root={folder}", "--update-catalog"], capture_output=True, text=True,
                            check=False)
    assert listed.returncode == 0, listed.stderr
    listed = subprocess.run(["journalctl", f"--root={folder}", "--list-catalog"], capture_output=True, text=True,
                            check=True)
    for id in messages().values():
        assert id in listed.stdout
    world = journal.world
    world.start()
    world.daemon.completed(world.daemon.attach(world.volume()))
    kinds = {id: set(re.findall(r"@(\w+)@", text))
             for id, text in re.findall(r"^-- ([0-9a-f]{32})$(.*?)(?=^-- |\Z)", done.stdout, re.MULTILINE | re.DOTALL)}
    for entry in (entry for entry in journal.entries() if "MESSAGE_ID" in entry):
        if entry["MESSAGE_ID"] in kinds:
            assert kinds[entry["MESSAGE_ID"]] <= entry.keys(), entry


def test_a_redirected_stderr_is_no_journal(world):
    """The variable is inherited, the stream is not."""
    world.daemon.stop()
    world.bus.environment["JOURNAL_STREAM"] = "8:12345"
    world.daemon.start()
    assert any(line.startswith("<6>") or line.startswith("<7>") for line in world.daemon.log.all())


# ---- org.freedesktop.LogControl1 ----

def test_the_level_is_changed_as_systemctl_does(world):
    bus = world.bus

    def put(name, value, **who):
        bus.call(LOG_CONTROL[0], "org.freedesktop.DBus.Properties", "Set", "ssv",
                 LOG_CONTROL[1], name, "s", value, **who)

    assert bus.properties(*LOG_CONTROL) == {
        "LogLevel": "debug", "LogTarget": "auto", "SyslogIdentifier": "volume-daemon"}
    put("LogLevel", "warning")
    before = len(world.daemon.log)
    world.attached()
    assert not [line for line in world.daemon.log.all(before) if line[:3] in ("<5>", "<6>", "<7>")]
    assert bus.properties(*LOG_CONTROL)["LogLevel"] == "warning"
    for name, value in (("LogLevel", "loud"), ("LogTarget", "syslog"), ("SyslogIdentifier", "x")):
        with pytest.raises(BusError):
            put(name, value)
    with pytest.raises(BusError) as refused:
        put("LogLevel", "debug", user=65534)
    assert refused.value.word == "Forbidden" and bus.properties(*LOG_CONTROL)["LogLevel"] == "warning"
    put("LogTarget", "console")
    assert bus.properties(*LOG_CONTROL)["LogTarget"] == "console"
    # The configuration has the last word when it is read.
    world.daemon.rest("POST", "/api/v1/admin/reload")
    assert bus.properties(*LOG_CONTROL)["LogLevel"] == "debug"
