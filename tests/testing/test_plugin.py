"""The plugin in pytest runs of their own, as its users have them."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from nxcdr_async.testing import Gateway, plugin

# Under names of their own, so that these tests do not depend on the plugin being installed.
fresh_gateway = plugin.nxcdr_gateway

NOTHING_LEFT = """
import threading

def pytest_sessionfinish():
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("nxcdr")]
    assert not left, left
"""
"""A conftest that holds for each run: when it ends, every emulator has stopped."""

READS = """
import pytest
from nxcdr_async import CdrSession

async def count(gateway):
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as cdr:
        return len(await cdr.calls(gateway.first_call, gateway.last_call).collect())
"""
AN_ASYNC_TEST = "async def test_reads(nxcdr_gateway):\n    assert await count(nxcdr_gateway) == 300\n"

ANYIO = READS + "@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n\n@pytest.mark.anyio\n" + AN_ASYNC_TEST
ASYNCIO_AUTO = READS + AN_ASYNC_TEST
ASYNCIO_STRICT = READS + "@pytest.mark.asyncio\n" + AN_ASYNC_TEST
SYNC = (
    READS
    + """
import asyncio

def test_reads(nxcdr_gateway):
    assert asyncio.run(count(nxcdr_gateway)) == 300
"""
)

WITHOUT_ASYNCIO = ("-p", "no:asyncio")
WITHOUT_ANYIO = ("-p", "no:anyio")
WITH_A_TEST_CLIENT = ("-W", "ignore:Using `httpx` with")  # starlette wants its own successor of httpx by now


@pytest.fixture
def run(pytester: pytest.Pytester) -> "Run":
    pytester.makeconftest(NOTHING_LEFT)
    return Run(pytester)


class Run:
    """Runs a file of tests in a process of its own, with warnings as errors."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, source: str, *arguments: str, passed: int = 0, **outcomes: int) -> pytest.RunResult:
        self._pytester.makepyfile(source)
        if "no:asyncio" not in arguments:
            arguments += ("-o", "asyncio_default_fixture_loop_scope=function")  # else pytest-asyncio warns
        result = self._pytester.runpytest_subprocess("-W", "error", "--strict-markers", *arguments, timeout=600)
        result.assert_outcomes(passed=passed, **outcomes)
        assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
        return result


def test_loading_the_plugin_does_not_load_the_emulator() -> None:
    check = (
        "import sys, nxcdr_async.testing.plugin; "
        "assert not {'nxcdr_async.testing.gateway', 'nxcdr_async.testing.pushes', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_tests_that_need_no_emulator_do_not_load_it(run: Run) -> None:
    run(
        """
        import sys

        def test_mine():
            assert "nxcdr_async.testing.plugin" in sys.modules
            assert not {"nxcdr_async.testing.gateway", "aiohttp"} & set(sys.modules)
        """,
        passed=1,
    )


def test_the_fixture_gives_a_running_gateway(fresh_gateway: Gateway) -> None:
    assert fresh_gateway.url.startswith("http://127.0.0.1:")
    assert len(fresh_gateway.call_ids()) == 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        pytest.param(ANYIO, WITHOUT_ASYNCIO, id="anyio alone"),
        pytest.param(ANYIO, ("-o", "asyncio_mode=strict"), id="anyio beside pytest-asyncio"),
        pytest.param(ASYNCIO_AUTO, ("-o", "asyncio_mode=auto"), id="pytest-asyncio's auto mode beside anyio"),
        pytest.param(ASYNCIO_AUTO, ("-o", "asyncio_mode=auto", *WITHOUT_ANYIO), id="pytest-asyncio's auto mode alone"),
        pytest.param(ASYNCIO_STRICT, ("-o", "asyncio_mode=strict"), id="pytest-asyncio's strict mode"),
        pytest.param(SYNC, (*WITHOUT_ASYNCIO, *WITHOUT_ANYIO), id="no plugin for async tests"),
    ],
)
def test_the_fixture_goes_with_every_way_to_run_async_tests(run: Run, source: str, arguments: tuple[str, ...]) -> None:
    run(source, *arguments, passed=1)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_each_process_of_xdist_has_emulators_of_its_own(run: Run) -> None:
    run(SYNC + "\ntest_again = test_reads\n", "-n", "2", passed=2)


@pytest.mark.slow
def test_a_marker_seeds_the_emulator_and_the_nearest_one_wins(run: Run) -> None:
    run(
        """
        import pytest
        from nxcdr_async.testing import Switches

        pytestmark = pytest.mark.nxcdr_gateway(calls=20, seed=7)

        def test_of_the_module(nxcdr_gateway):
            assert len(nxcdr_gateway.call_ids()) == 20

        @pytest.mark.nxcdr_gateway(days=2, did_calls=3)
        class TestOfAClass:
            def test_of_the_class(self, nxcdr_gateway):
                assert len(nxcdr_gateway.call_ids()) == 20
                assert nxcdr_gateway.history.days == 2
                assert len(nxcdr_gateway.did_ids()) == 3

            @pytest.mark.nxcdr_gateway(calls=5)
            def test_of_its_own(self, nxcdr_gateway):
                assert (len(nxcdr_gateway.call_ids()), nxcdr_gateway.history.days) == (5, 2)

        @pytest.mark.parametrize("calls", [
            pytest.param(0, marks=pytest.mark.nxcdr_gateway(calls=0)),
            pytest.param(9, marks=pytest.mark.nxcdr_gateway(calls=9)),
        ])
        def test_by_parameter(nxcdr_gateway, calls):
            assert len(nxcdr_gateway.call_ids()) == calls

        seen = []

        @pytest.mark.nxcdr_gateway(switches=Switches(page_cap=3))
        @pytest.mark.parametrize("turn", [1, 2])
        def test_switches_of_one_test_are_not_those_of_the_next(nxcdr_gateway, turn):
            assert nxcdr_gateway.switches.page_cap == 3
            assert "hang" not in nxcdr_gateway.switches.faults
            nxcdr_gateway.switches.page_cap = 1
            nxcdr_gateway.switches.faults.append("hang")

        def test_a_seed_tells_histories_apart(nxcdr_gateway):
            seen.append(nxcdr_gateway.call_ids())

        @pytest.mark.nxcdr_gateway(seed=8)
        def test_another_seed(nxcdr_gateway):
            assert nxcdr_gateway.call_ids() != seen[0]
        """,
        passed=9,
    )


REFUSED_MARKERS = {
    "500": "takes keyword arguments only, not 500: write calls=500, say",
    "call=5": "got an unexpected keyword argument 'call'",
    "days=0": "days is 0: give a whole number, at least 1",
    "calls='5'": "calls is '5': give a whole number, at least 0",
    "switches={'page_cap': 1}": "switches is of type dict: give Switches(...)",
}


@pytest.mark.slow
def test_a_marker_that_cannot_work_is_an_error_in_one_line(run: Run) -> None:
    tests = [
        f"@pytest.mark.nxcdr_gateway({arguments})\ndef test_{number}(nxcdr_gateway):\n    pass\n"
        for number, arguments in enumerate(REFUSED_MARKERS)
    ]
    result = run("import pytest\n\n" + "\n".join(tests), errors=len(tests))
    assert {f"@pytest.mark.nxcdr_gateway: {told}" for told in REFUSED_MARKERS.values()} <= set(result.outlines)
    result.stdout.no_fnmatch_line("*plugin.py:*")


def test_the_marker_is_told_by_pytest_itself(pytester: pytest.Pytester) -> None:
    markers = pytester.runpytest_subprocess("--markers", timeout=600)
    markers.stdout.fnmatch_lines(["@pytest.mark.nxcdr_gateway(?, calls=300, *Gateway*"])


def test_calls_faults_and_the_clock_are_those_of_one_test(run: Run) -> None:
    run(
        READS
        + """
import time
from nxcdr_async import AuthenticationError, ServerError

async def test_changes_everything(nxcdr_gateway):
    nxcdr_gateway.add_call(callId="mine")
    nxcdr_gateway.add_calls(4)
    nxcdr_gateway.fail_next("503", endpoint="calls")
    nxcdr_gateway.clock.move(-3_600)
    assert await count(nxcdr_gateway) == 305
    assert nxcdr_gateway.log.faults == {"503": 1}
    assert nxcdr_gateway.log.recent[-1].ts < (time.time() - 3_500) * 1000
    nxcdr_gateway.fail_next("503", times=1_000)
    nxcdr_gateway.switches.page_cap = 1

async def test_and_the_next_knows_nothing_of_it(nxcdr_gateway):
    assert abs(nxcdr_gateway.clock.now() - time.time()) < 1
    assert await count(nxcdr_gateway) == 300
    assert not nxcdr_gateway.log.faults
""",
        "-o",
        "asyncio_mode=auto",
        passed=2,
    )


@pytest.mark.slow
def test_a_test_that_fails_with_requests_open_ends_with_its_emulator(run: Run) -> None:
    result = run(
        READS
        + """
import asyncio

async def test_gives_up(nxcdr_gateway):
    nxcdr_gateway.fail_next("hang")
    waiting = asyncio.ensure_future(count(nxcdr_gateway))
    while not nxcdr_gateway.log.in_flight:
        await asyncio.sleep(0.001)
    assert False, "gave up"

async def test_goes_on(nxcdr_gateway):
    assert await count(nxcdr_gateway) == 300
""",
        "-o",
        "asyncio_mode=auto",
        passed=1,
        failed=1,
    )
    result.stdout.fnmatch_lines(["*AssertionError: gave up*"])


APP = """
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI
from nxcdr_async import CdrSession

@asynccontextmanager
async def lifespan(app):
    async with CdrSession.from_env() as app.state.cdr:
        yield

app = FastAPI(lifespan=lifespan)

@app.get("/calls/{call_id}")
async def look_up(call_id: str):
    day = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    return [call.caller for call in await app.state.cdr.calls(*day, call_id=call_id).collect()]
"""


@pytest.mark.slow
def test_a_web_app_that_takes_its_keys_from_the_environment_asks_the_emulator(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"GATEWAY": "https://real.example", "ACCESS_KEY": "real", "REGION": "nowhere"}.items():
        monkeypatch.setenv(f"NXCDR_{name}", value)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    pytester.makepyfile(app=APP)
    run(
        """
        import os
        import httpx
        import pytest
        from app import app

        pytestmark = pytest.mark.usefixtures("nxcdr_environment")

        async def test_over_asgi(nxcdr_gateway):
            call_id = nxcdr_gateway.add_call(caller="85211112222")
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
            ):
                reply = await client.get(f"/calls/{call_id}")
            assert reply.json() == ["85211112222"]
            assert nxcdr_gateway.log.by_endpoint["calls"] >= 1

        def test_whose_patches_are_undone_is_still_led_to_the_emulator(nxcdr_environment, monkeypatch):
            monkeypatch.undo()
            assert {name: value for name, value in os.environ.items() if name[:6] == "NXCDR_"} == nxcdr_environment
        """,
        "-o",
        "asyncio_mode=auto",
        passed=2,
    )


@pytest.mark.slow
def test_a_web_app_is_asked_through_the_test_client_of_its_framework(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(app=APP)
    run(
        """
        from fastapi.testclient import TestClient
        from app import app

        def test_a_look_up(nxcdr_gateway, nxcdr_environment):
            call_id = nxcdr_gateway.add_call(caller="85211112222")
            with TestClient(app) as client:
                assert client.get(f"/calls/{call_id}").json() == ["85211112222"]
                nxcdr_gateway.fail_next("503")
                assert client.get(f"/calls/{call_id}").status_code == 200
            assert nxcdr_gateway.log.faults == {"503": 1}
        """,
        *WITHOUT_ASYNCIO,
        *WITH_A_TEST_CLIENT,
        passed=1,
    )


@pytest.mark.slow
def test_the_machines_own_variables_are_back_after_the_test(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NXCDR_GATEWAY", "https://real.example")
    run(
        """
        import os

        def test_led_away(nxcdr_gateway, nxcdr_environment):
            assert os.environ["NXCDR_GATEWAY"] == nxcdr_gateway.url

        def test_with_a_key_of_its_own(monkeypatch, nxcdr_environment):
            monkeypatch.setenv("NXCDR_ACCESS_KEY", "of its own")

        def test_of_its_own():
            assert os.environ["NXCDR_GATEWAY"] == "https://real.example"
            assert "NXCDR_ACCESS_KEY" not in os.environ
        """,
        passed=3,
    )


@pytest.mark.slow
def test_a_receiver_of_pushes_is_tested_with_the_calls_of_the_emulator(run: Run) -> None:
    run(
        """
        from fastapi import FastAPI, Request, Response
        from fastapi.testclient import TestClient

        app, got = FastAPI(), []

        @app.post("/push")
        async def take(request: Request):
            if request.headers.get("token") != "shared":
                return Response(status_code=401)
            got.append((await request.json())["callId"])

        def test_the_right_and_the_wrong_token(nxcdr_gateway):
            call_id = nxcdr_gateway.add_call()
            with TestClient(app) as client:
                for token, status in (("wrong", 401), ("shared", 200)):
                    push = nxcdr_gateway.push_of(call_id, token=token)
                    assert client.post("/push", content=push.body, headers=push.headers).status_code == status
            assert got == [call_id]
        """,
        *WITHOUT_ASYNCIO,
        *WITH_A_TEST_CLIENT,
        passed=1,
    )
