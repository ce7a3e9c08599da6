"""What is logged: a text for people, and fields for machines."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from nxcdr_async import CdrSession
from nxcdr_async.testing import FaultKind, Gateway
from tests.sessions import OpenSession

OWN = {"event", "level"}


@contextmanager
def structured() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Have structlog take over the log of the package, as its documentation says; give what it writes."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logger = logging.getLogger("nxcdr_async")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def logged(gateway: Gateway, session: CdrSession, *faults: FaultKind) -> list[dict[str, Any]]:
    for fault in faults:
        gateway.fail_next(fault)
    with structured() as lines:
        await session.calls_by_order("order", tenant_id=gateway.tenant_id)
    return lines()


async def test_a_reply_is_a_line_with_fields(gateway: Gateway, open_session: OpenSession) -> None:
    line = (await logged(gateway, open_session()))[0]
    assert set(line) - OWN == {"endpoint", "attempt", "http_status", "duration_seconds"}
    assert (line["level"], line["endpoint"], line["attempt"], line["http_status"]) == ("debug", "order", 1, 200)
    assert line["event"] == f"order: HTTP 200 after {line['duration_seconds'] * 1000:.0f} ms"


async def test_a_retry_is_a_line_with_its_reason(gateway: Gateway, open_session: OpenSession) -> None:
    lines = await logged(gateway, open_session(), "99")
    line = next(line for line in lines if line["level"] == "info")
    assert set(line) - OWN == {
        "endpoint",
        "attempt",
        "http_status",
        "wait_seconds",
        "error_type",
        "code",
        "gateway_request_id",
    }
    assert (line["error_type"], line["code"], line["attempt"]) == ("nxcdr_async.errors.ServerError", 99, 1)
    assert max(line["attempt"] for line in lines) == 2


async def test_a_broken_line_has_no_fields_of_a_reply(gateway: Gateway, open_session: OpenSession) -> None:
    lines = await logged(gateway, open_session(), "close")
    line = next(line for line in lines if line["level"] == "info")
    assert set(line) - OWN == {"endpoint", "attempt", "wait_seconds", "error_type"}


async def test_a_refused_timestamp_tells_the_skew(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.clock.move(600)
    line = next(line for line in await logged(gateway, open_session()) if line["level"] == "info")
    assert abs(line["skew_seconds"] - 600) < 5
    assert line["code"] == 1004


async def test_each_field_is_documented(gateway: Gateway, open_session: OpenSession) -> None:
    from nxcdr_async.telemetry import log  # noqa: PLC0415 - its docstring is what is tested

    gateway.clock.move(600)
    lines = await logged(gateway, open_session(), "99", "close")
    fields = {field for line in lines for field in line} - OWN
    assert not [field for field in fields if f"| `{field}` |" not in (log.__doc__ or "")]


PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
(FOR_STRUCTLOG,) = re.findall(
    r"^```python\n((?:(?!^```).)*?ProcessorFormatter.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)
LOGGED = """
import asyncio
from nxcdr_async import CdrSession

async def main():
    async with CdrSession.from_env() as cdr:
        await cdr.calls_by_order("order", tenant_id={tenant})

asyncio.run(main())
"""


@pytest.mark.first_of
@pytest.mark.parametrize("root", ["", "logging.basicConfig(level=1)", "logging.getLogger().addHandler(handler)"])
def test_each_line_is_logged_once_as_the_docs_say_however_else_logging_is_set_up(gateway: Gateway, root: str) -> None:
    gateway.add_call(orderId="order")
    program = FOR_STRUCTLOG + root + LOGGED.format(tenant=gateway.tenant_id)
    environment = {**os.environ, **gateway.environment()}
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    ).stderr.splitlines()
    assert len([line for line in told if "order: HTTP 200" in line]) == 1
    (line,) = (json.loads(line) for line in told if "order: HTTP 200" in line)
    assert (line["endpoint"], line["http_status"], line["level"]) == ("order", 200, "debug")


def test_fields_are_no_attributes_every_record_has() -> None:
    own = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    documented = {"endpoint", "attempt", "http_status", "duration_seconds", "wait_seconds", "skew_seconds"}
    assert not own & (documented | {"error_type", "code", "gateway_request_id"})


def test_a_warning_shows_where_nobody_configured_logging() -> None:
    code = (
        "import nxcdr_async.webhook.app, logging; logging.getLogger('nxcdr_async').warning('a call push was refused')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stderr == "a call push was refused\n"
