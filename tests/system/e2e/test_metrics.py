# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures for Prometheus: that they are true, and that it can read them."""

import subprocess

import pytest
from support.py import metrics_text
from support.py.metrics_text import total, value
from support.py.promtool import promtool
from support.py.streams import Stream
from support.py.waiting import eventually

PATH = "/metrics"
TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page(daemon):
    answer = daemon.rest("GET", PATH)
    assert (answer.status, answer.headers["Content-Type"]) == (200, TYPE)
    return answer.body.decode()


def figures(daemon):
    return metrics_text.read(page(daemon))


def figures_when(daemon, fits, what):
    """A page serves for a second, so a figure may be late."""
    return eventually(lambda: (found := figures(daemon)) and fits(found) and found, what)


def test_prometheus_own_checker_accepts_the_page(world):
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.delete(volume))
    done = subprocess.run([promtool(), "check", "metrics"], input=page(world.daemon), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_operations_steps_requests_and_commits_are_counted(world):
    daemon = world.daemon
    world.cloud.set(job_delay=0.3)
    volume = daemon.completed(daemon.create())["volume_id"]
    daemon.completed(daemon.attach(volume))
    assert daemon.ended(daemon.detach("00000000-0000-4000-8000-000000000000"))["status"] == "failed"
    told = figures_when(daemon, lambda f: total(f, "volumed_operations_total") >= 3, "three ends")
    ends = {"create": "completed", "attach": "completed", "detach": "failed"}
    for kind, status in ends.items():
        assert value(told, "volumed_operations_total", type=kind, status=status) == 1
        assert value(told, "volumed_operation_duration_seconds_count", type=kind) == 1
        spent = total(told, "volumed_operation_time_seconds_total", type=kind)
        # The last commit is in the parts, but not in the time that the operation shows.
        assert spent >= value(told, "volumed_operation_duration_seconds_sum", type=kind) - 0.1
    for kind in ("create", "attach"):
        assert value(told, "volumed_step_duration_seconds_count", type=kind, step="await-job") == 1
        assert value(told, "volumed_operation_time_seconds_total", type=kind, part="cloudstack") > 0
    assert value(told, "volumed_step_duration_seconds_count", type="attach", step="await-device") == 1
    assert value(told, "volumed_cloudstack_requests_total", command="attachVolume", result="ok") == 1
    assert value(told, "volumed_cloudstack_request_duration_seconds_count", command="createVolume") == 1
    assert value(told, "volumed_store_commit_duration_seconds_count") > 5
    assert value(told, "volumed_store_batch_size_sum") >= value(told, "volumed_store_batch_size_count")
    assert value(told, "volumed_mappings") == 1 and total(told, "volumed_exports") == 0
    assert total(told, "volumed_operations_running") == total(told, "volumed_operations_pending") == 0
    assert total(told, "volumed_health") == 6 and value(told, "volumed_accepting_changes") == 1


def test_an_operation_says_where_its_time_went(world):
    """To each client, and after a restart."""
    daemon = world.daemon
    world.cloud.set(job_delay=0.3)
    ended = daemon.completed(daemon.attach(world.volume()))
    spent = ended["time_spent"]
    assert set(spent) == {"own_ms", "waiting_ms", "cloudstack_ms", "kernel_ms"}
    assert spent["cloudstack_ms"] > 0 and min(spent.values()) >= 0
    assert daemon.ctl_json("operation", ended["id"])["time_spent"] == spent
    assert f"cloudstack_ms {spent['cloudstack_ms']}" in " ".join(daemon.ctl("operation", ended["id"]).stdout.split())
    daemon.stop()
    daemon.start().wait_healthy()
    assert daemon.operation(ended["id"])["time_spent"] == spent


def test_operations_under_way_and_their_queue_are_shown(world):
    daemon = world.daemon
    world.cloud.set(job_delay=3600)
    volume = world.volume()
    daemon.attach(volume)
    daemon.detach(volume)
    told = figures_when(daemon, lambda f: value(f, "volumed_operations_running", type="attach") == 1, "the attachment")
    assert value(told, "volumed_operations_pending", type="detach") == 1
    first = value(told, "volumed_oldest_operation_age_seconds")
    figures_when(daemon, lambda f: value(f, "volumed_oldest_operation_age_seconds") > first, "an older operation")


def test_trouble_is_shown(make_world):
    world = make_world(reconcile={"interval": "1s"})
    with Stream(world.daemon):
        figures_when(world.daemon, lambda f: value(f, "volumed_sse_clients") == 1, "the listener")
    volume, _ = world.attached()
    world.cloud.detach_behind(volume)
    figures_when(world.daemon, lambda f: value(f, "volumed_drift_total", kind="detached-outside") == 1, "the drift")
    world.cloud.down()
    told = figures_when(world.daemon, lambda f: value(f, "volumed_health", part="cloudstack") == 0, "the trouble")
    assert value(told, "volumed_cloudstack_usable") == value(told, "volumed_accepting_changes") == 0
    assert total(told, "volumed_cloudstack_requests_total", result="away") > 0
    assert value(told, "volumed_health", part="store") == value(told, "volumed_health", part="monitor") == 1


def test_each_series_is_there_from_the_start(world):
    """A counter that appears with its first event has no rate, and its first event is lost."""
    before = figures(world.daemon)
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.delete(volume))
    after = figures_when(world.daemon, lambda f: total(f, "volumed_operations_total") == 2, "two ends")
    assert set(after) == set(before)


@pytest.mark.parametrize("verb, path, status", [("POST", PATH, 405), ("OPTIONS", PATH, 204), ("GET", f"{PATH}?a=b", 400),
                                                ("GET", f"{PATH}/", 404)])
def test_other_requests_of_its_path(shared_world, verb, path, status):
    answer = shared_world.daemon.rest(verb, path)
    assert answer.status == status
    assert status not in (405, 204) or answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_the_type_is_the_same_whatever_is_asked_for(shared_world):
    asked = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
    assert shared_world.daemon.rest("GET", PATH, headers=asked).headers["Content-Type"] == TYPE


# ---- the reader of these tests ----

GOOD = """# HELP a_seconds Time of a.
# TYPE a_seconds histogram
a_seconds_bucket{kind="x",le="1"} 1
a_seconds_bucket{kind="x",le="+Inf"} 2
a_seconds_sum{kind="x"} 3.5
a_seconds_count{kind="x"} 2
# HELP b_total Number of b.
# TYPE b_total counter
b_total 1
"""


def test_the_reader_accepts_what_is_good():
    assert value(metrics_text.read(GOOD), "a_seconds_count", kind="x") == 2


@pytest.mark.parametrize("old, new", [
    ('le="1"} 1', 'le="1"} 3'), ('le="+Inf"} 2', 'le="+Inf"} 3'), ('a_seconds_bucket{kind="x",le="+Inf"} 2\n', ""),
    ('a_seconds_sum{kind="x"} 3.5\n', ""), ("b_total 1\n", "b_total 1\nb_total 1\n"), ("b_total 1", "b_total -1"),
    ("b_total 1\n", 'b_total 1\na_seconds_count{kind="y"} 1\n'), ("b_total 1\n", "b_total NaN\n"),
    ("b_total 1\n", 'b_total{volume="0195a1f0-7c3e-7b11-8f00-0123456789ab"} 1\n'),
    ("b_total 1\n", "b_total 1\n# HELP a_seconds Time of a.\n# TYPE a_seconds histogram\n"),
    ("# TYPE b_total counter\n", ""), ("b_total 1\n", "b_total 1"), ('kind="x",le="1"', 'kind="x,le="1"')])
def test_the_reader_refuses_what_is_not(old, new):
    assert old in GOOD
    with pytest.raises(AssertionError):
        metrics_text.read(GOOD.replace(old, new, 1))
