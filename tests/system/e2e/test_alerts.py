# SPDX-License-Identifier: LGPL-2.1-or-later
"""The alerts and the dashboard that come with the daemon: what they ask for is there, and means what they say."""

import json
import re
import subprocess

import pytest
from support.py import metrics_text
from support.py.harness import TOP
from support.py.promtool import promtool
from support.py.stores import any_store

pytestmark = any_store

ALERTS = TOP / "data/alerts.yml"
ALERTS_TEST = TOP / "data/alerts_test.yml"
DASHBOARD = TOP / "data/grafana/volume-daemon.json"


def run_promtool(*arguments):
    done = subprocess.run([promtool(), *map(str, arguments)], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions():
    """All that the dashboard asks for."""
    board = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [
        annotation["expr"] for annotation in board["annotations"]["list"]]


def test_the_alerts_are_told_when_they_should_be():
    run_promtool("check", "rules", ALERTS)
    run_promtool("test", "rules", ALERTS_TEST)


def test_each_alert_is_tested_both_ways():
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    assert len(set(alerts)) == len(alerts) > 10
    tested = re.findall(r"  - name: (not )?(\w+)", ALERTS_TEST.read_text())
    assert sorted(tested) == sorted((word, alert) for alert in alerts for word in ("", "not "))


@pytest.mark.parametrize("source", ["alerts", "dashboard"])
def test_each_figure_that_is_asked_for_exists(shared_world, source):
    text = ALERTS.read_text() if source == "alerts" else "\n".join(expressions())
    asked = set(re.findall(r"\b(?:volumed|process)_\w+", text))
    there = metrics_text.names(metrics_text.read(shared_world.daemon.rest("GET", "/metrics").body.decode()))
    assert asked and asked <= there, asked - there


def test_each_family_that_the_daemon_has_is_on_the_dashboard(shared_world):
    page = shared_world.daemon.rest("GET", "/metrics").body.decode()
    shown = "\n".join(expressions())
    families = set(re.findall(r"^# TYPE (volumed_\w+)", page, re.MULTILINE))
    assert {name for name in families if name not in shown} <= {"volumed_cloudstack_usable"}     # health says it


def test_each_expression_of_the_dashboard_is_one(tmp_path):
    """promtool knows no dashboards, so each expression becomes a rule. JSON is YAML as well."""
    rules = [{"record": f"expression:{n}", "expr": expr.replace("$__rate_interval", "5m")}
             for n, expr in enumerate(expressions())]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run_promtool("check", "rules", file)


def test_a_quantile_has_its_bounds():
    """A sum that loses "le" has no quantile, which no checker finds."""
    for text in [*expressions(), ALERTS.read_text()]:
        for inner in re.findall(r"histogram_quantile\([\d.]+,\s*sum by \(([^)]*)\)", text):
            assert "le" in re.split(r",\s*", inner), text
        assert text.count("histogram_quantile(") == len(re.findall(r"histogram_quantile\([\d.]+,\s*sum by \(", text))


def test_the_dashboard_can_be_imported():
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "volume-daemon" and "id" not in board
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "instance"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for source in [panel, *panel["targets"]]:
            assert source["datasource"]["uid"] == "${datasource}", panel["title"]
