"""The aiohttp.web side of a receiver; imported when the first request comes."""

from aiohttp import web
from attrs import define

from nxcdr_async.webhook.http import Head, Headers
from nxcdr_async.webhook.receiver import ClientGoneError, Receiver


async def answer_request(receiver: Receiver, request: web.Request) -> web.Response:
    """Answer one request."""
    head = Head(request.method, None, Headers.of(request.raw_headers))
    try:
        answer = await receiver.answer(head, _AiohttpBody(request).next_chunk)
    except ClientGoneError:
        response = web.Response(status=400)  # for nobody, but aiohttp wants one
        response.force_close()
        return response
    response = web.Response(status=answer.status, body=answer.body, headers=answer.all_headers)
    if answer.is_cut:
        response.force_close()
    return response


@define(eq=False)
class _AiohttpBody:
    request: web.Request
    is_whole: bool = False

    async def next_chunk(self) -> bytes | None:
        if self.is_whole:
            return None
        content = self.request.content
        try:
            # `read` has a limit of its own, but returns a body that a middleware has read before.
            self.is_whole = content.at_eof()
            return await self.request.read() if self.is_whole else await content.readany()
        except (ConnectionError, web.RequestPayloadError):
            raise ClientGoneError from None
