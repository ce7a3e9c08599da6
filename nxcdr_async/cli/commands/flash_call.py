"""`nxcdr flash-call`: one flash call as a JSON line."""

from typing import Annotated

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import GatewayOptions
from nxcdr_async.cli.terminal import say
from nxcdr_async.records.models import FlashCallRecord
from nxcdr_async.session import CdrSession

DETAILS = """
If the vendor knows none by that id, stderr says so and nothing is written.
"""


def flash_call(
    *,
    request_id: Annotated[
        str, typer.Argument(metavar="REQUEST_ID", help="The id the gateway gave when the call was requested.")
    ],
    gateway: GatewayOptions,
) -> ExitCode:
    async def read(session: CdrSession) -> list[FlashCallRecord]:
        call = await session.flash_call(request_id)
        return [] if call is None else [call]

    if not streaming.write_all(gateway.arguments_for("flash"), read):
        say(f"no flash call is known by request id {request_id}")
    return ExitCode.DONE
