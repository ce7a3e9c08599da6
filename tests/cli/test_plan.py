from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from attrs import evolve

from nxcdr_async.cli.commands.plan import stored, warn_of_disk
from nxcdr_async.cli.estimate import Estimate, spread
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import HOUR, Window


def test_samples_lie_in_the_range_at_different_hours() -> None:
    samples = spread(Window(0, 30 * 24 * HOUR), 12)
    assert len(samples) == 12
    assert {sample.seconds for sample in samples} == {HOUR - 1}
    assert all(sample.start >= 0 and sample.end <= 30 * 24 * HOUR for sample in samples)
    assert len({sample.start // HOUR % 24 for sample in samples}) > 6
    assert spread(Window(5, 6), 1) == [Window(5, 6)]


@pytest.mark.parametrize(("source", "held"), [("calls", 40_000), ("did", 8_000), ("flash", 4_000)])
def test_a_few_requests_tell_about_how_much_it_is(nxcdr: Any, source: str, held: int) -> None:
    with Gateway(calls=40_000, days=28) as gateway:
        ended = nxcdr(
            "plan", source, "--start", "2026-01-01", "--end", "2026-01-28", "--json", NXCDR_GATEWAY=gateway.url
        )
        asked = gateway.log.requests
    estimate = msgspec.json.decode(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert asked <= 24
    assert held * 0.6 < estimate["rows"] < held * 1.5
    assert 0 < estimate["requests"] < held
    assert estimate["disk_bytes"] > held


def test_it_is_told_in_words_and_follows_the_rate(nxcdr: Any) -> None:
    ended = nxcdr("plan", "calls", "--start", "2026-01-01", "--end", "2026-01-03", "--rate", "20", "--concurrency", "2")
    assert ended.code == 0
    assert "An estimate from 12 samples" in ended.out
    assert "with 2 requests at once" in ended.out


def test_nothing_there_is_about_nothing(nxcdr: Any) -> None:
    ended = nxcdr("plan", "calls", "--start", "2020-01-01", "--end", "2020-01-01T02:00", "--json")
    estimate = msgspec.json.decode(ended.out)
    assert (estimate["rows"], estimate["requests"], estimate["samples"]) == (0, 1, 2)


def test_a_store_is_told_its_windows_and_its_disk(nxcdr: Any) -> None:
    with Gateway(calls=12_000, days=4, did_calls=0, flash_calls=0) as gateway:
        span = ("calls", "--start", "2026-01-01", "--end", "2026-01-05", "--to", "c.sqlite")
        planned = nxcdr("plan", *span, "--json", NXCDR_GATEWAY=gateway.url)
        done = nxcdr("backfill", *span, "--report", "-", NXCDR_GATEWAY=gateway.url)
    estimate, report = (msgspec.json.decode(ended.out) for ended in (planned, done))
    assert planned.err == ""
    size = (nxcdr.folder / "c.sqlite").stat().st_size
    assert size * 0.6 < estimate["disk_bytes"] < size * 1.7
    assert estimate["free_bytes"] > size
    assert 1 <= report["windows"] <= estimate["windows"] + 1 <= report["windows"] + 3


def test_too_little_room_is_told_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = Estimate(
        source="calls", start="", end="", samples=1, rows=1, requests=1, minutes=1.0, at_once=1, windows=1,
        disk_bytes=10**18,
    )  # fmt: skip
    warn_of_disk(estimate)
    warn_of_disk(evolve(stored(estimate, "c.sqlite"), free_bytes=10**18))
    assert capsys.readouterr().err == ""
    warn_of_disk(stored(estimate, "c.sqlite"))
    assert capsys.readouterr().err.startswith("warning: c.sqlite needs about 550,000.0 TB, and only ")


def test_a_store_that_there_is_not_is_refused(nxcdr: Any) -> None:
    ended = nxcdr("plan", "calls", "--start", "2026-01-01", "--end", "2026-01-05", "--to", "c.xlsx")
    assert ended.code == 2
    assert ended.err.startswith("error: no sink is known for 'c.xlsx'")


@pytest.mark.parametrize("source", ["calls", "flash"])
def test_a_narrow_gateway_can_be_sampled(nxcdr: Any, source: str) -> None:
    with Gateway(calls=4_000, days=28) as gateway:
        gateway.switches.max_span = HOUR
        span = (source, "--start", "2026-01-01", "--end", "2026-01-28", "--json")
        ended = nxcdr("plan", *span, NXCDR_GATEWAY=gateway.url)
        hourly = nxcdr("plan", *span, "--max-span", "1h", NXCDR_GATEWAY=gateway.url)
    assert (ended.code, hourly.code) == (0, 0)
    assert msgspec.json.decode(hourly.out)["requests"] >= 27 * 24
    assert msgspec.json.decode(ended.out)["refused_until"] is None


@pytest.mark.first_of
@pytest.mark.parametrize("source", ["calls", "flash", "did"])
def test_what_is_too_old_is_told_and_left_out(nxcdr: Any, source: str) -> None:
    with Gateway(calls=40_000, days=28) as gateway:
        gateway.clock.move_to(datetime(2026, 1, 29, tzinfo=UTC))
        gateway.switches.retention = 14 * 24.0 * HOUR
        span = (source, "--start", "2026-01-01", "--end", "2026-01-28")
        ended = nxcdr("plan", *span, "--json", NXCDR_GATEWAY=gateway.url)
        told = nxcdr("plan", *span, NXCDR_GATEWAY=gateway.url)
        known = {"calls": gateway.call_ids, "flash": gateway.flash_ids, "did": gateway.did_ids}[source]
        held = len(known(datetime(2026, 1, 15, tzinfo=UTC)))
    estimate = msgspec.json.decode(ended.out)
    assert (ended.code, told.code) == (0, 0)
    assert "2026-01-14" <= estimate["refused_until"] < "2026-01-19"
    assert held * 0.4 < estimate["rows"] < held * 1.6
    assert f"what is before about {estimate['refused_until'].replace('+00:00', 'Z')}" in told.out
