"""A place may be written as people write paths: in a home, relative, with spaces, as a URL."""

from pathlib import Path

import pytest

from nxcdr_async import ConfigurationError, PushedCalls, backfill, prune, sync, verify
from nxcdr_async.sinks.factory import path_of, sink_for
from nxcdr_async.sinks.paths import as_path
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/calls.sqlite", "{home}/calls.sqlite"),
        (Path("~/calls.sqlite"), "{home}/calls.sqlite"),
        ("./~/calls.sqlite", "~/calls.sqlite"),
        ("a b/calls.sqlite", "a b/calls.sqlite"),
        ("../calls.sqlite", "../calls.sqlite"),
        ("calls.parquet/", "calls.parquet"),
        ("file:///a/b%20c/calls.sqlite", "/a/b c/calls.sqlite"),
        ("FILE:/a/calls.sqlite", "/a/calls.sqlite"),
        ("file://localhost/a/%7E/100%25%3F.sqlite", "/a/~/100%?.sqlite"),
        ("file.sqlite", "file.sqlite"),
    ],
)
def test_a_place_is_the_path_that_is_meant(given: str | Path, expected: str, home: Path) -> None:
    assert as_path(given) == Path(expected.format(home=home))
    assert path_of(given) == as_path(given)


@pytest.mark.parametrize(
    "given",
    [
        "file:calls.sqlite",
        "file://elsewhere/calls.sqlite",
        "file:///calls.sqlite?mode=ro",
        "file:///a#b.sqlite",
        "file:",
    ],
)
def test_a_url_of_no_file_here_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="is not one of a file on this machine: write the path"):
        sink_for(given)


@pytest.mark.parametrize("given", ["~nobody-of-this-name/calls.sqlite", Path("~nobody-of-this-name/calls.sqlite")])
def test_a_home_that_is_not_there_is_named(given: str | Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no home ~nobody-of-this-name"):
        sink_for(given)


@pytest.mark.first_of
@pytest.mark.parametrize("suffix", ["sqlite", "duckdb", "parquet", "jsonl", "csv"])
async def test_every_use_of_a_store_finds_it_in_a_home(
    suffix: str, home: Path, gateway: Gateway, open_session: OpenSession
) -> None:
    to, session = f"~/calls.{suffix}", open_session()
    report = await backfill(session, "calls", gateway.first_call, gateway.last_call, to=to)
    assert report.sink == str(home / f"calls.{suffix}")
    assert (await sync(session, "calls", f"file://{home}/calls.{suffix}")).rows_new >= 0
    assert (await verify(session, Path(to), "calls")).unmended == 0
    if suffix in {"sqlite", "duckdb"}:
        PushedCalls(session, to)
    await prune(to, gateway.first_call)
    assert {path.name.lstrip(".").split(".")[0] for path in [*home.iterdir()]} == {"calls"}  # noqa: ASYNC240 - a test's
