"""The pytest plugin: a fresh emulator for each test, a marker with its arguments, and the environment that leads to it.

pytest loads it wherever the package is installed. The emulator and its web server are imported by the first test that
uses one.
"""

import os
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from nxcdr_async.testing.gateway import Gateway

_CALLS = 300
_MARKER = "nxcdr_gateway"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(*, calls={_CALLS}, days=1, seed=1, switches=Switches(), ...): what the fixture {_MARKER} starts "
        "with: keyword arguments of nxcdr_async.testing.Gateway. The marker of a test adds to that of its class and "
        "module.",
    )


@pytest.fixture
def nxcdr_gateway(request: pytest.FixtureRequest) -> "Iterator[Gateway]":
    """Return a running emulator of the vendor's gateway with 300 calls of 2026-01-01 (UTC), fresh for each test.

    `@pytest.mark.nxcdr_gateway(calls=2_000, days=2, seed=7)` gives it other arguments, those of `Gateway`. It serves
    from a thread of its own, so its methods may be called from tests with or without an event loop.
    """
    with _gateway_of(request.node) as gateway:
        yield gateway


@pytest.fixture
def nxcdr_environment(nxcdr_gateway: "Gateway", monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Have `CdrSession.from_env()` ask the emulator of `nxcdr_gateway` during a test, and return the variables set.

    All other variables NXCDR_… are hidden meanwhile, so that no test asks a real gateway with real keys, and the
    machine's proxy is not used for the emulator. An app has to open its session when it starts, not when it is
    imported.
    """
    variables = nxcdr_gateway.environment()
    # A patch of its own: a test that undoes its patches does not lose these.
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("NXCDR_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        # The machine's proxy is not for the emulator.
        without = [os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")), "127.0.0.1"]
        patch.setenv("no_proxy", ",".join(filter(None, without)))
        yield variables
        # What the test has set of these variables is undone first: later it would restore these for good.
        monkeypatch.undo()


def _gateway_of(test: pytest.Item) -> "Gateway":
    from nxcdr_async.testing.gateway import Gateway  # noqa: PLC0415 - imports aiohttp's web server

    arguments: dict[str, Any] = {"calls": _CALLS}
    for marker in reversed(list(test.iter_markers(_MARKER))):
        if marker.args:
            _refuse(f"takes keyword arguments only, not {', '.join(map(repr, marker.args))}: write calls=500, say")
        arguments |= marker.kwargs
    try:
        # Copied, as one marker may serve many tests, and each may change its own switches.
        return Gateway(**deepcopy(arguments))
    except (TypeError, ValueError) as wrong:
        _refuse(str(wrong).removeprefix("Gateway.__init__() "))


def _refuse(reason: str) -> NoReturn:
    pytest.fail(f"@pytest.mark.{_MARKER}: {reason}", pytrace=False)
