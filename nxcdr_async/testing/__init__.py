"""An emulator of the vendor's gateway, for tests and demos without an account.

    from nxcdr_async.testing import Gateway

    with Gateway(calls=500, days=1) as gateway:
        ...  # CdrSession(gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app)

`Gateway` is a real HTTP server on loopback with a seeded, plausible history of calls and switches for everything that
can go wrong. All of it may be used from any thread while it serves:

    gateway.add_call(startTime=datetime(2026, 1, 1, 9, tzinfo=UTC), answered=False)  # the vendor's keys; add_calls(50)
    gateway.fail_next("503", times=3, endpoint="calls")  # or for a while: with gateway.failing("hang"): …
    gateway.clock.move(-90)  # seconds; clock.reset()
    gateway.switches.latency = (0.05, 0.2)
    await gateway.push_call("http://127.0.0.1:8000/push", gateway.add_call(), token="…")  # as the vendor pushes calls

pytest users get, fresh for each test, the fixture `nxcdr_gateway`; `@pytest.mark.nxcdr_gateway(calls=2_000, days=2)`
tells what it starts with. The fixture `nxcdr_environment` leads `CdrSession.from_env()` to it, and hides the machine's
own keys. They need no event loop, so they go with the plugins of anyio, pytest-asyncio, or none.

A receiver of call pushes is tested with `gateway.push_call`, or without an emulator with `send_push`; a `Push` can be
sent again (a replay), changed (a forgery), or handed as `headers` and `body` to any client that calls an app directly.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nxcdr_async.testing.data.history import CallHistory
    from nxcdr_async.testing.emulator.clock import EmulatorClock
    from nxcdr_async.testing.emulator.log import GatewayLog, SeenRequest
    from nxcdr_async.testing.emulator.switches import (
        FAULT_KINDS,
        ROW_FAULT_KINDS,
        EndpointName,
        FaultKind,
        Order,
        RowFaultKind,
        Switches,
    )
    from nxcdr_async.testing.gateway import Gateway
    from nxcdr_async.testing.pushes import PUSHED_KEYS, Push, PushReply, send_push

__all__ = [
    "FAULT_KINDS",
    "PUSHED_KEYS",
    "ROW_FAULT_KINDS",
    "CallHistory",
    "EmulatorClock",
    "EndpointName",
    "FaultKind",
    "Gateway",
    "GatewayLog",
    "Order",
    "Push",
    "PushReply",
    "RowFaultKind",
    "SeenRequest",
    "Switches",
    "send_push",
]

_ROOMS = {
    "CallHistory": "data.history",
    "Gateway": "gateway",
    "EmulatorClock": "emulator.clock",
    "GatewayLog": "emulator.log",
    "SeenRequest": "emulator.log",
    "PUSHED_KEYS": "pushes",
    "Push": "pushes",
    "PushReply": "pushes",
    "send_push": "pushes",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: pytest loads this package, as the home of its plugin, everywhere."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only here, so that it is no name of the package

    return getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'emulator.switches')}"), name)
