# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration file and the command line.

A daemon that starts with a configuration its owner did not mean is worse than one that does not
start. So every mistake is named with file, line, key and what would be right, and the daemon ends
before it has touched anything.
"""

import re
import socket
import subprocess

import pytest
from support.py.harness import TOP, config_text
from support.py.programs import program
from support.py.stores import any_store
from support.py.waiting import DEADLINE

pytestmark = any_store


def run(*arguments):
    return subprocess.run([program("volume-daemon"), *map(str, arguments)], capture_output=True,
                          text=True, timeout=DEADLINE, check=False)


def check(tmp_path, text):
    file = tmp_path / "wrong.conf"
    file.write_text(text)
    return file, run("--config", file, "--check-config")


def sample_keys():
    """(section, key, default) of every key there is."""
    section, keys = None, []
    for line in run("--sample-config").stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif found := re.fullmatch(r"#(\w+) =(.*)", line):
            keys.append((section, found[1], found[2].strip()))
    return keys


# ---- mistakes ----

@pytest.mark.parametrize("text, line, words", [
    ("[cloud]\ntimout = 3s\n", 2, ["[cloud]", "timout", "timeout", "poll_min", "parallel"]),
    ("[clowd]\nurl = x\n", 2, ["[clowd]", "cloud", "device", "store"]),
    ("\n# a comment\n[http]\n\n  max_requests = many\n", 5,
     ["max_requests", "whole number", '"many"']),
    ("[http]\nmax_requests = 0\n", 2, ["max_requests", "at least 1", "got 0"]),
    ("[http]\nmax_requests = 10001\n", 2, ["max_requests", "at most 10000", "got 10001"]),
    ("[http]\nmax_requests = -1\n", 2, ["max_requests", "at least 1"]),
    ("[cloud]\ntimeout = soon\n", 2, ["timeout", "duration", "2s"]),
    ("[cloud]\ntimeout = 1ms\n", 2, ["timeout", "at least 100ms", "got 1ms"]),
    ("[cloud]\ntimeout = 2h\n", 2, ["timeout", "at most 10min", "got 2h"]),
    ("[cloud]\ntimeout = 99999999999999999999s\n", 2, ["timeout", "duration"]),
    ("[log]\nlevel = loud\n", 2, ["level", "debug", "info", "warning", "error", '"loud"']),
    ("[appliance]\nvm_id = 17\n", 2, ["vm_id", "UUID", '"17"']),
    ("[log]\nlevel = info\nlevel = debug\n", 3, ["log.level", "twice"]),
    ("[log]\nlevel = info\n[log]\nlevel = info\n", 4, ["log.level", "twice"]),
    ("[log]\nlevel\n", 2, ["[section]", "key = value"]),
    ("[log\nlevel = info\n", 1, ["[section]"]),
    ("level = info\n", 1, ["level", "above the first [section]", "log"]),
    ("[http]\nlisten =\n", 2, ["listen", "empty"]),
    ("[store]\nurl = " + "x" * 300 + "\n", 2, ["longer than"]),
    ("[cloud]\nurl = https://cloud\u00a0\n", 2, ["cloud.url", "no-break space (U+00A0)", "anew"]),
    ("[cloud]\n\nurl = \ufeffhttps://cloud\n", 3, ["cloud.url", "byte order mark (U+FEFF)"]),
    ("[cloud]\n\u200burl = https://cloud\n", 2, ["the name of the section or of the key", "U+200B"]),
], ids=lambda value: repr(value[:24]) if isinstance(value, str) else "")
def test_a_mistake_is_named_with_its_place(tmp_path, text, line, words):
    file, done = check(tmp_path, text)
    assert done.returncode == 1 and done.stdout == ""
    assert f"{file}:{line}: " in done.stderr, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("section, key, default", sample_keys())
def test_every_key_refuses_what_it_cannot_mean(tmp_path, section, key, default):
    """A value with a control character in it is right for nothing."""
    file, done = check(tmp_path, f"[{section}]\n{key} = a\x01b\n")
    assert done.returncode == 1
    assert f"{file}:2: " in done.stderr and key in done.stderr, done.stderr


@pytest.mark.parametrize("sections, words", [
    ({"cloud": {"poll_min": "2s", "poll_max": "1s"}}, ["cloud.poll_min", "cloud.poll_max"]),
    ({"cloud": {"url": "ftp://cloud"}}, ["cloud.url", "http://"]),
    ({"device": {"buses": "virtio ide"}}, ["device.buses", '"ide"', "virtio, scsi, loop, other"]),
    ({"device": {"buses": ","}}, ["device.buses", "at least one"])])
def test_values_that_do_not_go_together(tmp_path, sections, words):
    _, done = check(tmp_path, config_text(sections))
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_a_file_that_cannot_be_read(tmp_path):
    for path, words in ((tmp_path / "none.conf", "No such file"), (tmp_path, "Is a directory")):
        done = run("--config", path, "--check-config")
        assert done.returncode == 1 and str(path) in done.stderr and words in done.stderr, done


def test_a_file_of_another_encoding(tmp_path):
    file = tmp_path / "wrong.conf"
    file.write_text("[log]\nlevel = info\n", encoding="utf-16")
    done = run("--config", file, "--check-config")
    assert done.returncode == 1 and f"{file}:1: " in done.stderr and "UTF-16" in done.stderr, done


# ---- what is right ----

@pytest.mark.parametrize("text", [
    "\ufeff[log]\nlevel = debug\n", "[log]\r\nlevel = debug\r\n", "[log]\n\tlevel\t=\tdebug \t\n"])
def test_marks_and_blanks_that_editors_leave_behind(tmp_path, text):
    _, done = check(tmp_path, text)
    assert (done.returncode, done.stderr) == (0, ""), done


def test_the_sample_is_valid_as_it_is_and_with_every_default_written_out(tmp_path):
    sample = run("--sample-config").stdout
    for text in (sample, re.sub(r"^#(\w+ = .)", r"\1", sample, flags=re.MULTILINE), ""):
        _, done = check(tmp_path, text)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "valid" in done.stdout


def test_the_sample_explains_every_key():
    keys = sample_keys()
    assert len(keys) == len({(section, key) for section, key, _ in keys}) > 20
    sample = run("--sample-config").stdout
    for _, key, _ in keys:
        above = sample.split(f"\n#{key} =")[0].rsplit("\n\n", 1)[1]
        assert above.startswith("# ") and above.rstrip("\n").count("\n") >= 1, key


def test_the_shipped_sample_and_manual_are_the_program_s():
    assert (TOP / "data/volume-daemon.conf").read_text() == run("--sample-config").stdout
    manual = run("--print-config-manual").stdout
    assert (TOP / "data/man/volume-daemon.conf.5").read_text() == manual
    for section, key, _ in sample_keys():
        assert f".It Ic {key}" in manual.split(f".Ss [{section}]")[1].split(".El")[0]


def test_the_sample_offers_no_word_that_is_refused(tmp_path):
    """Of each key that takes one of some words, or several."""
    sample, tried = run("--sample-config").stdout, 0
    for section, key, _ in sample_keys():
        above = sample.split(f"[{section}]")[1].split(f"\n#{key} =")[0].rsplit("\n", 1)[1]
        words = above.partition("; in force")[0].partition("one of a few words: ")[2].split()
        if (section, key) == ("device", "buses"):
            words = ["virtio", "scsi", "other", "loop"]
        for word in words:
            _, done = check(tmp_path, f"[{section}]\n{key} = {word}\n")
            assert (done.returncode, done.stderr) == (0, ""), (key, word, done)
            tried += 1
    assert tried >= 10


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("--config", "--check-config", "--plan-takeover", "--sample-config", "--print-config-manual",
                   "--print-catalog", "--introspect", "--print-bus-manual",
                   "--print-openapi", "--help", "--version"):
        assert option in done.stdout
    done = run("--version")
    version = re.search(r"version: '([\d.]+)'", (TOP / "meson.build").read_text())[1]
    assert (done.returncode, done.stdout) == (0, f"volume-daemon {version}\n")


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["--config"], ["now"],
                                       ["--check-config", "x"]])
def test_a_command_line_that_is_wrong(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert "--help" in done.stderr


def test_an_interface_that_does_not_exist():
    done = run("--introspect", "org.example.None")
    assert done.returncode == 1 and "org.example.None" in done.stderr


# ---- what only shows when it starts ----

def start_fails(world, check_too=True):
    """The start's words; --check-config must refuse the same with the same words."""
    world.daemon.launch()
    assert world.daemon.exits() == 1
    assert "listening on" not in world.daemon.text
    done = subprocess.run([program("volume-daemon"), "--config", world.daemon.config, "--check-config"],
                          env=world.bus.environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if check_too:
        assert done.returncode == 1 and done.stderr.removeprefix("<3>").strip() in world.daemon.text, done
    else:
        assert (done.returncode, done.stderr) == (0, ""), done
    return world.daemon.text


def test_key_files_that_are_missing_empty_or_open_to_others(make_world):
    world = make_world(start=False)
    secret = world.folder / "secret-key"
    key = secret.read_text()

    secret.chmod(0o644)
    text = start_fails(world)
    assert str(secret) in text and "0644" in text and "chmod 600" in text
    secret.chmod(0o600)
    secret.write_text("\n")
    assert str(secret) in start_fails(world)
    secret.unlink()
    text = start_fails(world)
    assert str(secret) in text and "No such file" in text
    # In a store that says nothing about it.
    world.daemon.configure(cloud={"secret_key_file": None},
                           store={"url": f"sqlite://{world.folder / 'none.db'}", "password_file": None})
    text = start_fails(world)
    assert "cloud.secret_key_file" in text and "cloudstack-secret-key" in text
    assert key.strip() not in text


@pytest.mark.parametrize("around", [" {}", "{}\t", "\ufeff{}", "{}\u00a0\r"])
def test_blanks_around_keys_are_removed(make_world, around):
    world = make_world(start=False)
    for name in ("api-key", "secret-key"):
        file = world.folder / name
        file.write_text(around.format(file.read_text().strip()) + "\n")
    world.start()


def test_a_blank_within_a_key_is_named_with_its_place(make_world):
    world = make_world(start=False)
    file = world.folder / "secret-key"
    file.write_text("sesame " + file.read_text())
    text = start_fails(world)
    assert f"{file}:1: character 7 of the key is a blank" in text and "sesame" not in text


def test_keys_from_systemd_s_credentials(make_world):
    world = make_world(start=False, cloud={"api_key_file": None, "secret_key_file": None})
    credentials = world.folder / "credentials"
    credentials.mkdir()
    for name in ("api-key", "secret-key"):
        (world.folder / name).rename(credentials / f"cloudstack-{name}")
    world.bus.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    world.start()


@pytest.mark.parametrize("url, words", [
    ("sqlite:///nonexistent/folder/store.db", ["/nonexistent/folder"]),
    ("sqlite:///proc/store.db", ["/proc/store.db"]),
    ("mariadb://localhost/x", ["names no user"]), ("oracle://localhost/x", ["sqlite://", "mariadb://"]), ("store.db", ["sqlite://"])])
def test_a_store_that_cannot_be(make_world, url, words):
    world = make_world(start=False, store={"url": url})
    # What a store's place is like only an attempt can tell.
    text = start_fails(world, check_too=not url.startswith("sqlite:///"))
    assert all(word in text for word in words), text


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8090", "localhost:8090",
                                    "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "[::1:80"])
def test_an_address_that_is_not_loopback(make_world, listen):
    text = start_fails(make_world(start=False, http={"listen": listen}))
    assert listen in text and "listen" in text


def test_an_address_that_is_taken(make_world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = start_fails(make_world(start=False, http={"listen": f"127.0.0.1:{port}"}), check_too=False)
    assert f"127.0.0.1:{port}" in text and "another program listens there" in text


def test_signals_blocked_by_the_program_that_starts_it(make_world):
    world = make_world(start=False)
    world.daemon.starter = ["env", "--block-signal", "--ignore-signal=TERM"]
    world.start()
    world.daemon.stop()


def test_sysfs_that_is_not_there(make_world):
    text = start_fails(make_world(start=False, device={"sysfs_root": "/nonexistent"}))
    assert "/nonexistent/block" in text
