"""Streams that break behind what ends them as if they were whole: their reader notices."""

import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from shared.service import UVICORN, Service

from nxcdr_async import IncompleteError, LineReader
from nxcdr_async.testing import Gateway
from tests.services.running_service import SERVERS, running_on

CALLS = 12_000
SERVICE = "tests.services.closing_service:app"


WAYS = [*((server, "a middleware") for server in SERVERS), ("h11", "HTTP/1.0")]
"""What uvicorn reads HTTP with, and what ends an answer well; with httptools HTTP/1.0 is not spoken as it should be."""


@pytest.fixture
def busy() -> Iterator[Gateway]:
    with Gateway(calls=CALLS) as gateway:
        yield gateway


@pytest.fixture(params=WAYS, ids=", ".join)
def served(request: pytest.FixtureRequest, busy: Gateway, tmp_path: Path) -> Iterator[tuple[Service, str]]:
    server, way = request.param
    with running_on(busy, tmp_path, *UVICORN, "--http", server, SERVICE) as service:
        yield service, way


def break_off(gateway: Gateway) -> None:
    gateway.add_call(startTime=int(gateway.last_call.timestamp() * 1000), totalCustomerPrice="lots")


def lines_of(gateway: Gateway, service: Service, way: str) -> list[bytes]:
    """Read a stream whose end looks as if it were whole: through the middleware, or by HTTP/1.0."""
    path = f"/closed/{gateway.first_call.date()}"
    if way == "a middleware":
        return httpx.get(f"{service.url}{path}", timeout=600).content.splitlines()
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname, parts.port or 80), 60) as line:
        line.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        reply = HTTPResponse(line)
        reply.begin()
        assert reply.headers["transfer-encoding"] is None
        return reply.read().splitlines()


@pytest.mark.first_of
def test_a_whole_stream_closes_with_its_count(busy: Gateway, served: tuple[Service, str]) -> None:
    reader = LineReader()
    ids = [call["call_id"] for line in lines_of(busy, *served) if (call := reader.read(line))]
    reader.end()
    assert sorted(ids) == sorted(busy.call_ids())


@pytest.mark.first_of
def test_a_stream_that_breaks_is_noticed_though_its_answer_ends_well(
    busy: Gateway, served: tuple[Service, str]
) -> None:
    break_off(busy)
    lines = lines_of(busy, *served)
    assert 0 < len(lines) <= CALLS
    reader = LineReader()
    for line in lines:
        assert reader.read(line)
    with pytest.raises(IncompleteError, match=f"broke off after {len(lines)} records?:"):
        reader.end()
