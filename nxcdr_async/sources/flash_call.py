"""One flash call by the id of its request (otp/call/get)."""

from nxcdr_async.paging.page_reader import read_at_once
from nxcdr_async.protocol.endpoints import FLASH_CALL
from nxcdr_async.protocol.filter_check import id_filter
from nxcdr_async.records.models import FlashCallRecord
from nxcdr_async.sources.base import SourceContext
from nxcdr_async.sources.checks import needed_text


async def read_flash_call(context: SourceContext, request_id: str) -> FlashCallRecord | None:
    """Return the flash call of a request, None if the gateway has none; see `CdrSession.flash_call`."""
    wanted = needed_text("request_id", request_id, "the id of the request whose flash call you want, as text")
    context.need_keys(FLASH_CALL)
    structurer = context.structurer(FLASH_CALL, on_bad_row="raise", bad_row_callback=None)
    reader = context.reader(FLASH_CALL, structurer.stats, [id_filter("request_id", wanted, "requestId")])
    found = await read_at_once(reader, structurer, {"requestId": wanted}, f"of request {wanted!r}")
    return found[0] if found else None
