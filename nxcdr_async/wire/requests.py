"""Requests to the exact bytes that are signed and sent."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from attrs import define, field

from nxcdr_async.credentials import Credentials, FlashApp
from nxcdr_async.signing import sign
from nxcdr_async.wire.endpoints import Endpoint


@define(frozen=True)
class Request:
    """One HTTP request, ready to be sent once.

    Attributes:
        url: path and query below the gateway; hidden, as the flash list wants its secret there.
    """

    method: Literal["GET", "POST"]
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


def signed_request(
    endpoint: Endpoint[Any],
    parameters: Mapping[str, Any],
    credentials: Credentials,
    *,
    ts: int,
) -> Request:
    """Build a POST whose signature covers the exact bytes of its body.

    Args:
        endpoint: the API.
        parameters: its parameters, sent as a JSON object.
        credentials: who asks.
        ts: epoch milliseconds by the gateway's clock.
    """
    body = msgspec.json.encode(parameters)
    biz_type, action = endpoint.biz_type or "", endpoint.action or ""
    headers = {
        "accessKey": credentials.access_key,
        "ts": str(ts),
        "bizType": biz_type,
        "action": action,
        "sign": sign(credentials, action=action, biz_type=biz_type, ts=ts, body=body),
        "Content-Type": "application/json",
    }
    if credentials.algorithm != "md5":
        # Servers older than the header know md5 only, so it is left out where it would say just that.
        headers["algorithm"] = credentials.algorithm
    return Request("POST", endpoint.path, headers, body)


def flash_request(endpoint: Endpoint[Any], parameters: Mapping[str, Any], app: FlashApp) -> Request:
    """Build a GET with the key pair in its query, the secret under both names the vendor's documents use."""
    secrets = {"appkey": app.appkey, "secretkey": app.secretkey, "appsecret": app.secretkey}
    query = urlencode({**parameters, **secrets}, quote_via=quote)
    return Request("GET", f"{endpoint.path}?{query}", {})
