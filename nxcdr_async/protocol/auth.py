"""How a request says who asks: a signature in headers, or a secret in the query. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import quote, urlencode

import msgspec
from attrs import define, field

from nxcdr_async._util.validation import as_text, as_whole
from nxcdr_async.config import Credentials, KeyPairs
from nxcdr_async.errors import ConfigurationError


def sign(credentials: Credentials, *, action: str, biz_type: str | int, ts: int | str, body: bytes | str = b"") -> str:
    """Return the signature of one request, for people who debug and for the wire.

    Args:
        credentials: whose secret signs, and by which algorithm.
        action: the `action` header, "cc" for call-center records.
        biz_type: the `bizType` header, "8" for call-center records.
        ts: the `ts` header, epoch milliseconds.
        body: the exact bytes sent; an empty body takes no part in the signature.

    Raises:
        ConfigurationError: an argument that can be no part of it.

    >>> sign(Credentials("fme2na3kdi3ki", "abciiiko2k3"), action="send", biz_type=1, ts=1655710885431,
    ...      body='{"id":10001,"name":"牛小信"}')
    '7750759da06333f20d0640be09355e34'
    """
    content = str.encode(body) if isinstance(body, str) else body
    signed = {"action": as_text(action), "biz_type": _written(biz_type), "ts": _written(ts)}
    wrong = next((name for name, value in signed.items() if value is None), None)
    if not isinstance(content, bytes | bytearray):
        raise ConfigurationError(f"body is of type {type(body).__name__}: give the exact bytes that are sent")
    if wrong is not None:
        raise ConfigurationError(f"{wrong} can be no part of a signature: give text or, but for action, a whole number")
    return _digest(credentials, str(signed["action"]), str(signed["biz_type"]), str(signed["ts"]), bytes(content))


def _digest(credentials: Credentials, action: str, biz_type: str, ts: str, content: bytes) -> str:
    # The vendor chose MD5; as a keyed digest over a secret it is what its servers accept.
    digest = hashlib.new(credentials.algorithm, usedforsecurity=False)
    digest.update(f"accessKey={credentials.access_key}&action={action}&bizType={biz_type}&ts={ts}".encode())
    if content:
        digest.update(b"&body=" + content)
    # No variable holds what has the secret in it: a traceback may show them.
    digest.update(f"&accessSecret={credentials.access_secret}".encode())
    return digest.hexdigest()


def _written(value: object) -> str | None:
    """Return text, or a whole number as it is written; None for what is neither."""
    whole = as_whole(value)
    return as_text(value) if whole is None else str(whole)


@define(frozen=True)
class Request:
    """One HTTP request, ready to be sent once.

    Attributes:
        url: path and query below the gateway, with a word in the place of a secret.
        secret_url: what goes over the wire instead, as the flash list wants its secret there; "" where nothing does.
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


class Auth(Protocol):
    """How a request says who asks; each endpoint has one."""

    @property
    def method(self) -> Literal["GET", "POST"]:
        """The method of its requests."""

    @property
    def is_timestamped(self) -> bool:
        """Whether a request has a timestamp, so that it matters, and shows, what the gateway's clock says."""

    def public_key(self, keys: KeyPairs) -> str | None:
        """Return the public half of the pair it takes, None without such a pair."""

    def need_key(self, keys: KeyPairs) -> str:
        """Return the public half of the pair it takes.

        Raises:
            ConfigurationError: there is no such pair; the message says which is missing.
        """

    def request(self, path: str, parameters: Mapping[str, Any], keys: KeyPairs, *, ts: int) -> Request:
        """Build a request, to be sent at once.

        Args:
            path: of the API, below its gateway.
            parameters: in the vendor's terms.
            keys: who asks.
            ts: epoch milliseconds by the gateway's clock.

        Raises:
            ConfigurationError: the pair it takes is missing.
        """


@define(frozen=True)
class HeaderSignature:
    """A POST of JSON, with a signature over its exact bytes and over what business it is for, all in headers."""

    biz_type: str
    action: str
    method: ClassVar[Literal["GET", "POST"]] = "POST"
    is_timestamped: ClassVar[bool] = True

    def public_key(self, keys: KeyPairs) -> str | None:
        """Return the access key, if there are credentials."""
        return keys.credentials.access_key if keys.credentials else None

    def need_key(self, keys: KeyPairs) -> str:
        """Return the access key.

        Raises:
            ConfigurationError: there are no credentials.
        """
        return keys.need_credentials().access_key

    def request(self, path: str, parameters: Mapping[str, Any], keys: KeyPairs, *, ts: int) -> Request:
        """Build a request; see `Auth`."""
        credentials = keys.need_credentials()
        body, written = msgspec.json.encode(parameters), str(ts)
        headers = {
            "accessKey": credentials.access_key,
            "ts": written,
            "bizType": self.biz_type,
            "action": self.action,
            "sign": _digest(credentials, self.action, self.biz_type, written, body),
            "Content-Type": "application/json",
        }
        if credentials.algorithm != "md5":
            # Servers older than the header know md5 only, so it is left out where it would say just that.
            headers["algorithm"] = credentials.algorithm
        return Request("POST", path, headers, body)


_SECRET_NAMES = ("secretkey", "appsecret")
"""The names the vendor's documents have for the secret of a flash-call application."""

_SHOWN = "REDACTED"
"""What stands in the place of a secret in an address that others may see."""


@define(frozen=True)
class QuerySecret:
    """A GET with the key pair in its query, the secret under both names that the vendor's documents use."""

    method: ClassVar[Literal["GET", "POST"]] = "GET"
    is_timestamped: ClassVar[bool] = False

    def public_key(self, keys: KeyPairs) -> str | None:
        """Return the appkey, if there is an application."""
        return keys.flash_app.appkey if keys.flash_app else None

    def need_key(self, keys: KeyPairs) -> str:
        """Return the appkey.

        Raises:
            ConfigurationError: there is no application.
        """
        return keys.need_flash_app().appkey

    def request(self, path: str, parameters: Mapping[str, Any], keys: KeyPairs, *, ts: int) -> Request:  # noqa: ARG002 - it has no timestamp
        """Build a request; see `Auth`."""
        app = keys.need_flash_app()
        asked = f"{path}?{urlencode({**parameters, 'appkey': app.appkey}, quote_via=quote)}"
        shown = urlencode(dict.fromkeys(_SECRET_NAMES, _SHOWN))
        # No variable holds what has the secret in it: a traceback may show them.
        return Request(
            "GET",
            f"{asked}&{shown}",
            {},
            secret_url=f"{asked}&{urlencode(dict.fromkeys(_SECRET_NAMES, app.secretkey), quote_via=quote)}",
        )
