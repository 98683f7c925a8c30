# SPDX-License-Identifier: LGPL-2.1-or-later
"""The status page in a real browser: live, on a phone, by keyboard, in the dark, and behind a token."""

import json
import os
import re
import shlex
import subprocess
from contextlib import contextmanager

import pytest
from support.py import openapi
from support.py.browser import PHONE, Browser
from support.py.loops import real_disk
from support.py.stores import any_store

pytestmark = any_store

FILES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}


@pytest.fixture(scope="module")
def chromium():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """Its page must have complained of nothing at the end of a test."""
    chromium.open("about:blank")    # the page before it, whose daemon is gone, ends
    chromium.take_complaints()
    yield chromium
    assert chromium.take_complaints() == []


def open_page(browser, daemon, **options):
    browser.open(f"{daemon.url}/", **options)
    browser.wait("#stream", "live")


def rows(browser, table):
    return browser.run("return await page.locator(selector).allInnerTexts()", selector=f"#{table} tbody tr")


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_served_with_a_strict_policy(world, path):
    answer = world.daemon.rest("GET", path)
    assert answer.status == 200 and answer.headers["Content-Type"] == f"{FILES[path]}; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert world.daemon.rest("GET", f"{path}?a=b").status == 400
    assert world.daemon.rest("POST", path).status == 405


def test_changes_are_seen_as_they_happen(world, browser):
    daemon = world.daemon
    open_page(browser, daemon)
    assert browser.text("#state") == "healthy"
    assert "No volume is attached" in browser.text("main") and "No operation is running" in browser.text("main")

    volume = daemon.completed(daemon.create(name="seen at once"))["volume_id"]
    attached = daemon.completed(daemon.attach(volume))
    browser.wait("#volumes tbody tr", "seen at once")
    browser.wait("#volumes tbody tr", attached["response"]["device_path"])
    browser.wait("#history tbody tr", "attach")
    browser.wait("#events li", "attach of seen at once: completed")
    browser.wait("#times-words", "The last 2 operations")
    browser.wait("#cloud tbody tr", "attachVolume")

    daemon.completed(daemon.detach(volume))
    browser.run("await page.locator('#volumes').waitFor({state: 'hidden'})")


def test_a_running_operation_shows_its_step(world, browser):
    world.cloud.set(job_delay=3600)
    open_page(browser, world.daemon)
    operation = world.daemon.create()
    browser.wait("#running tbody tr", operation["request"]["name"])
    browser.wait("#running-count", "(1)")
    world.cloud.wait_request("createVolume")
    world.cloud.set(job_delay=0)
    world.cloud.hurry()
    world.daemon.completed(operation)
    browser.run("await page.locator('#running').waitFor({state: 'hidden'})")


def test_an_operation_that_is_undone_says_so(world, browser):
    world.cloud.set(job_delay=3600)
    open_page(browser, world.daemon)
    operation = world.daemon.attach(world.volume())
    world.await_jobs("attachVolume")
    world.daemon.rest("POST", f"/api/v1/operations/{operation['id']}/cancel")
    browser.wait("#running tbody tr", "undoing, ")
    world.cloud.restart()
    assert world.daemon.ended(operation)["status"] == "cancelled"


def test_the_time_that_is_left_is_shown(world, browser):
    daemon = world.daemon
    daemon.completed(daemon.create())           # from which it learns
    world.cloud.set(job_delay=3600)
    open_page(browser, daemon)
    operation = daemon.create()
    browser.wait("#running tbody tr", "expected")
    world.cloud.wait_request("createVolume", 2)
    world.cloud.set(job_delay=0)
    world.cloud.hurry()
    daemon.completed(operation)


def test_history_is_filtered_and_goes_on(world, browser):
    daemon = world.daemon
    volumes = [daemon.completed(daemon.create(name=f"n{i}"))["volume_id"] for i in range(26)]
    open_page(browser, daemon)
    browser.wait("#history tbody tr", "create")
    assert len(rows(browser, "history")) == 25
    browser.run("await page.click('#older'); await page.locator('#older').waitFor({state: 'hidden'})")
    assert len(rows(browser, "history")) == 26
    browser.run("await page.fill('#volume', volume); await page.click('#filter button')", volume=volumes[3])
    browser.run("await page.waitForFunction(() => document.querySelectorAll('#history tbody tr').length === 1)")
    browser.run("await page.fill('#volume', name); await page.press('#volume', 'Enter')", name="n7")
    browser.wait("#history tbody tr", "n7")
    assert len(rows(browser, "history")) == 1
    browser.run("await page.fill('#volume', 'nonsense'); await page.press('#volume', 'Enter')")
    browser.wait("#history-trouble", "UUID")
    assert any("400" in complaint for complaint in browser.take_complaints())  # the browser's own word of it


def test_the_choices_are_those_of_the_document(world, browser):
    open_page(browser, world.daemon)
    shape = openapi.document()["components"]["schemas"]["operation"]["properties"]
    for name in "type", "status":
        options = browser.run("return await page.locator(selector).allInnerTexts()", selector=f"#{name} option")
        assert options == ["all", *shape[name]["enum"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("form", [{}, PHONE], ids=["wide", "phone"])
def test_everyone_can_read_it(world, browser, scheme, form):
    daemon = world.daemon
    daemon.completed(daemon.attach(daemon.completed(daemon.create(name="readable"))["volume_id"]))
    open_page(browser, daemon, colorScheme=scheme, **form)
    browser.wait("#volumes tbody tr", "readable")
    assert browser.run("return await axe()") == []
    assert browser.run("return await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)")
    if form:                                    # nothing has to be found by scrolling a table sideways
        assert browser.run("""return await page.evaluate(() => [...document.querySelectorAll(".wide")]
            .filter(table => table.scrollWidth > table.clientWidth).map(table => table.getAttribute("aria-label")))""") == []


def test_everything_is_reached_by_keyboard(world, browser):
    daemon = world.daemon
    daemon.completed(daemon.create(name="by keyboard"))
    open_page(browser, daemon)
    browser.wait("#history tbody tr", "create")
    reached = browser.run("""
        const reached = [];
        for (let i = 0; i < 20; i++) {
          await page.keyboard.press("Tab");
          reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
        }
        return reached;""")
    assert reached[0] == "A" and {"find", "type", "status", "volume", "BUTTON"} <= set(reached)


def test_texts_of_others_are_never_run(world, browser):
    name = "<img src=x onerror=alert(1)>"
    daemon = world.daemon
    daemon.completed(daemon.attach(daemon.completed(daemon.create(name=name))["volume_id"]))
    open_page(browser, daemon)
    browser.wait("#volumes tbody tr", name)


def test_a_hidden_page_takes_no_place(world, browser):
    daemon = world.daemon
    open_page(browser, daemon)
    browser.run("""await page.evaluate(() => {
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    })""")
    browser.wait("#stream", "stopped while hidden")
    volume = daemon.completed(daemon.create(name="while hidden"))["volume_id"]
    daemon.completed(daemon.attach(volume))
    browser.run("""await page.evaluate(() => {
        Object.defineProperty(document, 'hidden', {value: false, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    })""")
    browser.wait("#volumes tbody tr", "while hidden")
    browser.take_complaints()       # the request that was ended


def test_it_comes_back_with_the_daemon(world, browser):
    daemon = world.daemon
    open_page(browser, daemon)
    daemon.stop()
    browser.wait("#stream", "waits for the daemon")
    daemon.configure(http={"listen": f"127.0.0.1:{daemon.port}"})
    daemon.start()
    volume = daemon.completed(daemon.create(name="after the restart"))["volume_id"]
    daemon.completed(daemon.attach(volume))
    browser.wait("#stream", "live")
    browser.wait("#volumes tbody tr", "after the restart")
    browser.take_complaints()       # connections refused


def test_a_token_is_asked_for(world, browser):
    token = world.daemon.ctl_json("token", "create", "page")["token"]
    world.daemon.stop()
    world.daemon.configure(http={"require_token": "yes"})
    world.daemon.start()
    browser.open(f"{world.daemon.url}/")
    browser.run("await page.fill('#token', token); await page.press('#token', 'Enter')", token=token)
    browser.wait("#stream", "live")
    browser.wait("#state", "healthy")
    assert all("401" in complaint for complaint in browser.take_complaints())


# ---- a newcomer ----

@contextmanager
def numbered_disk(world, path):
    """The disk is a real one, which the kernel of this world knows by its real number."""
    with real_disk(world, path) as loop:
        number = os.stat(loop).st_rdev
        attribute = world.folder / "disks/block" / os.path.basename(path) / "dev"
        attribute.write_text(f"{os.major(number)}:{os.minor(number)}\n")
        yield loop


@contextmanager
def opened(loop):
    """A program has the disk open."""
    with open(loop, "rb") as disk:
        program = subprocess.Popen(["sleep", "infinity"], stdin=disk)
    with program:
        try:
            yield f"opened by sleep (pid {program.pid})"
        finally:
            program.kill()


def first_steps(daemon):
    """The commands that `volumectl --help` begins with, by their first word, with names that CloudStack has here."""
    text = daemon.ctl("--help").stdout.split("First steps:\n")[1]
    lines = [part for line in re.findall(r"^  (volumectl .*?)(?:   .*)?$", text, re.MULTILINE)
             for part in line.split("; ")]
    offering = next(row["name"] for row in json.loads(daemon.ctl("offerings", "--json").stdout) if not row["size"])
    zone = json.loads(daemon.ctl("zones", "--json").stdout)[0]["name"]
    steps = [shlex.split(line.replace("Small", offering).replace("zone1", zone))[1:] for line in lines]
    assert [step[0] for step in steps] == ["offerings", "zones", "create", "attach", "users", "detach", "detach", "doctor"]
    return steps


def test_a_newcomer_who_has_read_the_help_alone(world, browser):
    """A volume is attached by its name, its users are seen, it is detached, and the page tells what happened."""
    daemon = world.daemon
    offerings, zones, create, attach, users, plan, detach, doctor = first_steps(daemon)
    for step in (offerings, zones, create):
        assert (done := daemon.ctl(*step)).returncode == 0, done
    assert " any " in daemon.ctl(*offerings).stdout
    with numbered_disk(world, daemon.ctl(*attach).stdout.strip()) as loop:
        with opened(loop) as use:
            assert use in daemon.ctl(*users).stdout
            done = daemon.ctl(*plan)
            assert done.returncode == 9 and use in done.stdout and "Nothing was changed" in done.stdout, done
            done = daemon.ctl(*detach)
            assert done.returncode == 9 and use in done.stderr and "release it" in done.stderr, done
        assert use not in daemon.ctl(*users).stdout
        assert daemon.ctl(*plan).returncode == 0
        assert (done := daemon.ctl(*detach)).returncode == 0, done
    assert daemon.ctl(*doctor, "--config", daemon.config).returncode == 0
    open_page(browser, daemon)
    browser.wait("#history tbody tr", "detach")
    told = [row.split("\t") for row in rows(browser, "history")]
    assert [row[1:4] for row in told] == [[word, "data", "completed"] for word in ("detach", "attach", "create")], told
