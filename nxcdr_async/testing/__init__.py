"""An emulator of the vendor's gateway, for tests and demos without an account.

    from nxcdr_async.testing import Gateway

    with Gateway(calls=500, days=1) as gateway:
        ...  # CdrSession(gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app)

`Gateway` is a real HTTP server on loopback with a seeded, plausible history of calls and switches for everything that
can go wrong. pytest users get one as the fixture `nxcdr_gateway`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nxcdr_async.testing.clock import EmulatorClock
    from nxcdr_async.testing.gateway import Gateway
    from nxcdr_async.testing.history import CallHistory
    from nxcdr_async.testing.log import GatewayLog, SeenRequest
    from nxcdr_async.testing.switches import FAULT_KINDS, EndpointName, FaultKind, Order, Switches

__all__ = [
    "FAULT_KINDS",
    "CallHistory",
    "EmulatorClock",
    "EndpointName",
    "FaultKind",
    "Gateway",
    "GatewayLog",
    "Order",
    "SeenRequest",
    "Switches",
]

_ROOMS = {
    "CallHistory": "history",
    "Gateway": "gateway",
    "EmulatorClock": "clock",
    "GatewayLog": "log",
    "SeenRequest": "log",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: pytest loads this package, as the home of its plugin, everywhere."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only here, so that it is no name of the package

    return getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'switches')}"), name)
