"""The app that receives call pushes, as web services hold it."""

from typing import TYPE_CHECKING

from attrs import define, field

from nxcdr_async.uncopied import Uncopied
from nxcdr_async.webhook.asgi import Receive, Scope, Send, serve
from nxcdr_async.webhook.receiver import Receiver

if TYPE_CHECKING:
    from aiohttp import web


@define(eq=False, frozen=True)
class CallPushApp(Uncopied):
    """Receives the vendor's call pushes: an ASGI 3 application, and a handler for aiohttp.web. Made by `call_push_app`.

    It holds nothing that has to be opened or closed, and may serve several event loops one after another.
    """

    _instead = "make one in each process, by call_push_app()"

    _receiver: Receiver = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of an ASGI server: HTTP and lifespan; websockets are denied."""
        await serve(self._receiver, scope, receive, send)

    async def handle_aiohttp(self, request: "web.Request") -> "web.Response":
        """Answer a request of aiohttp.web, whose router has decided on the path.

        `router.add_post("/nxcdr/calls", app.handle_aiohttp)`. The limit of the size is this app's own, not aiohttp's.
        """
        from nxcdr_async.webhook.aiohttp_web import answer_request  # noqa: PLC0415 - imports aiohttp's web server

        return await answer_request(self._receiver, request)
