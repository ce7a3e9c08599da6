"""The names that dashboards and alerts are built on."""

import re

import pytest

from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Metric

METRICS = {metric.name: metric for metric in vars(names).values() if isinstance(metric, Metric)}


def test_metrics_keep_their_names_and_units() -> None:
    assert {name: metric.unit for name, metric in METRICS.items()} == {
        "nxcdr.requests": "{request}",
        "nxcdr.retries": "{retry}",
        "nxcdr.throttled": "{request}",
        "nxcdr.rows": "{row}",
        "nxcdr.page.rows": "{row}",
        "nxcdr.concurrency.limit": "{request}",
        "nxcdr.clock.skew": "s",
        "http.client.request.duration": "s",
        "nxcdr.pushes": "{push}",
        "nxcdr.sync.rows": "{row}",
        "nxcdr.sync.rounds": "{round}",
        "nxcdr.sync.failures": "{round}",
        "nxcdr.sync.gaps": "{gap}",
        "nxcdr.sync.duration": "s",
        "nxcdr.sync.lag": "s",
        "nxcdr.sync.complete_until": "s",
        "nxcdr.sync.last_success": "s",
    }


def test_attributes_keep_their_names() -> None:
    told = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str) and "." in value}
    assert told - {names.SCHEMA_URL} == {
        "nxcdr.region",
        "nxcdr.endpoint",
        "nxcdr.window.start",
        "nxcdr.window.end",
        "nxcdr.day",
        "nxcdr.page",
        "nxcdr.attempt",
        "nxcdr.code",
        "nxcdr.rows",
        "nxcdr.wait.duration",
        "nxcdr.source",
        "nxcdr.change",
        "nxcdr.outcome",
        "error.type",
        "http.request.method",
        "http.request.resend_count",
        "http.response.status_code",
        "server.address",
        "server.port",
        "url.full",
    }


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_neither_its_unit_nor_that_it_is_a_total(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z]+(_[a-z]+)*)+", name)
    assert not re.search(r"seconds|total|count$", name)
