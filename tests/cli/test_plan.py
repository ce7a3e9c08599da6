from typing import Any

import msgspec
import pytest

from nxcdr_async.cli.plan import spread
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import HOUR, Window


def test_samples_lie_in_the_range_at_different_hours() -> None:
    samples = spread(Window(0, 30 * 24 * HOUR), 12)
    assert len(samples) == 12
    assert {sample.seconds for sample in samples} == {HOUR}
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
