"""What is told on the port of the figures, in this process."""

import re

import aiohttp
import pytest

from nxcdr_async._util.clocks import steady
from nxcdr_async.cli.monitoring import MetricsPlace
from nxcdr_async.ingest.sync_watch import SourceWatch, SyncWatch


@pytest.mark.parametrize(("patience", "status", "told"), [(3600.0, 200, "ok"), (-1.0, 503, "no news for too long")])
async def test_health_is_told_by_a_status(
    patience: float, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = SyncWatch(patience)
    watch.sources = {"calls": SourceWatch(steady())}
    async with MetricsPlace(0, "127.0.0.1").telling(watch), aiohttp.ClientSession() as http:
        found = re.search(r"http://127\.0\.0\.1:\d+", capsys.readouterr().err)
        assert found is not None
        async with http.get(f"{found[0]}/healthz") as reply:
            assert (reply.status, (await reply.json())["status"]) == (status, told)


async def test_before_the_first_round_figures_are_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    async with MetricsPlace(0).telling(SyncWatch(1.0)), aiohttp.ClientSession() as http:
        found = re.search(r"localhost(:\d+)", capsys.readouterr().err)
        assert found is not None
        async with http.get(f"http://127.0.0.1{found[1]}/metrics") as reply:
            assert "nxcdr_pushes_total" in await reply.text()
