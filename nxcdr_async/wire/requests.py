"""Requests to the exact bytes that are signed and sent."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from attrs import define, field

from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.signing import sign
from nxcdr_async.wire.endpoints import Signing

_SECRET_NAMES = ("secretkey", "appsecret")
"""The names the vendor's documents have for the secret of a flash-call application."""

_SHOWN = "REDACTED"
"""What stands in the place of a secret in an address that others may see."""


@define(frozen=True)
class Request:
    """One HTTP request, ready to be sent once.

    Attributes:
        url: path and query below the gateway, with a word in the place of a secret.
        secret_url: what goes over the line instead, as the flash list wants its secret there; "" where nothing does.
    """

    method: Literal["GET", "POST"]
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    secret_url: str = field(default="", repr=False)

    @property
    def signature(self) -> str:
        """Its signature, "" without one."""
        return self.headers.get("sign", "")


def signed_request(
    path: str,
    parameters: Mapping[str, Any],
    credentials: Credentials,
    signing: Signing,
    *,
    ts: int,
) -> Request:
    """Build a POST whose signature covers the exact bytes of its body.

    Args:
        path: of the API, below its gateway.
        parameters: its parameters, sent as a JSON object.
        credentials: who asks.
        signing: what for.
        ts: epoch milliseconds by the gateway's clock.
    """
    body = msgspec.json.encode(parameters)
    headers = {
        "accessKey": credentials.access_key,
        "ts": str(ts),
        "bizType": signing.biz_type,
        "action": signing.action,
        "sign": sign(credentials, action=signing.action, biz_type=signing.biz_type, ts=ts, body=body),
        "Content-Type": "application/json",
    }
    if credentials.algorithm != "md5":
        # Servers older than the header know md5 only, so it is left out where it would say just that.
        headers["algorithm"] = credentials.algorithm
    return Request("POST", path, headers, body)


def flash_request(path: str, parameters: Mapping[str, Any], app: FlashApp) -> Request:
    """Build a GET with the key pair in its query, the secret under both names the vendor's documents use."""
    asked = f"{path}?{urlencode({**parameters, 'appkey': app.appkey}, quote_via=quote)}"
    shown = urlencode(dict.fromkeys(_SECRET_NAMES, _SHOWN))
    # No variable holds what has the secret in it: a traceback may show them.
    return Request(
        "GET",
        f"{asked}&{shown}",
        {},
        secret_url=f"{asked}&{urlencode(dict.fromkeys(_SECRET_NAMES, app.secretkey), quote_via=quote)}",
    )
