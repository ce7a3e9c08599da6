"""`nxcdr order`: the calls of one order as JSON lines."""

from typing import Annotated

import typer

from nxcdr_async.cli import streaming
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import GatewayOptions, SkipOption
from nxcdr_async.cli.terminal import say


def order(
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="The id you gave when you started the calls.")],
    tenant: Annotated[int, typer.Option("--tenant", metavar="N", help="The team's number in the vendor's console.")],
    skip_bad_rows: SkipOption = False,
    gateway: GatewayOptions,
) -> ExitCode:
    bad_rows = streaming.BadRows(are_skipped=skip_bad_rows)
    written = streaming.write_all(
        gateway.arguments_for("calls"),
        lambda session: session.calls_by_order(order_id, tenant_id=tenant, **bad_rows.options),
    )
    if not written and not bad_rows.skipped:
        say(f"order {order_id} of tenant {tenant} has no calls")
    return bad_rows.conclude()
