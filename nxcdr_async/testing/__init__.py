"""An emulator of the vendor's gateway, for tests and demos without an account.

    from nxcdr_async.testing import Gateway

    with Gateway(calls=500, days=1) as gateway:
        ...  # CdrSession(gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app)

`Gateway` is a real HTTP server on loopback with a seeded, realistic history of calls and switches for everything that
can go wrong. All its methods may be called from any thread while it serves:

    gateway.add_call(startTime=datetime(2026, 1, 1, 9, tzinfo=UTC), answered=False)  # the vendor's keys; add_calls(50)
    gateway.fail_next("503", times=3, endpoint="calls")  # or for a while: with gateway.failing("hang"): …
    gateway.clock.move(-90)  # seconds; clock.reset()
    gateway.switches.latency = (0.05, 0.2)
    await gateway.push_call("http://127.0.0.1:8000/push", gateway.add_call(), token="…")  # as the vendor pushes calls

pytest users have the fixture `nxcdr_gateway`, a fresh emulator for each test; the arguments of
`@pytest.mark.nxcdr_gateway(calls=2_000, days=2)` are those of `Gateway`. The fixture `nxcdr_environment` has
`CdrSession.from_env()` ask that emulator, and hides the machine's own keys. Neither needs an event loop, so they work
with the plugins of anyio, pytest-asyncio, or none.

A receiver of call pushes is tested with `gateway.push_call`, or without an emulator with `send_push`. A `Push` can be
sent again (a replay), changed (a forgery), or passed as `headers` and `body` to any client that calls an app directly.
"""

from typing import TYPE_CHECKING

from nxcdr_async._util.late_imports import lazy_names

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
else:
    # pytest loads this package, as the home of its plugin, also where nobody needs an emulator. So they are not listed
    # by `dir` either: who freezes time looks at all that it lists of each module.
    __getattr__ = lazy_names(
        __name__,
        {
            "nxcdr_async.testing.data.history": ("CallHistory",),
            "nxcdr_async.testing.emulator.clock": ("EmulatorClock",),
            "nxcdr_async.testing.emulator.log": ("GatewayLog", "SeenRequest"),
            "nxcdr_async.testing.emulator.switches": (
                "FAULT_KINDS",
                "ROW_FAULT_KINDS",
                "EndpointName",
                "FaultKind",
                "Order",
                "RowFaultKind",
                "Switches",
            ),
            "nxcdr_async.testing.gateway": ("Gateway",),
            "nxcdr_async.testing.pushes": ("PUSHED_KEYS", "Push", "PushReply", "send_push"),
        },
    )

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
