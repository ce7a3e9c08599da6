"""Signatures: of requests that are sent, and of those that are received. Pure."""

import hashlib
from collections.abc import Callable, Container, Mapping
from hmac import compare_digest
from typing import Any, Literal, Self
from urllib.parse import quote, urlencode

import msgspec
from attrs import define, evolve, field

from nxcdr_async._util.validation import as_text, as_whole
from nxcdr_async.config import ALGORITHMS, Credentials, FlashApp
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.protocol.endpoints import Signing
from nxcdr_async.records.converter import EARLIEST_MS


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
    # The vendor chose MD5; as a keyed digest over a secret it is what its servers accept.
    digest = hashlib.new(credentials.algorithm, usedforsecurity=False)
    digest.update(
        f"accessKey={credentials.access_key}&action={signed['action']}&bizType={signed['biz_type']}&ts={signed['ts']}".encode()
    )
    if content:
        digest.update(b"&body=" + content)
    # No variable holds what has the secret in it: a traceback may show them.
    digest.update(f"&accessSecret={credentials.access_secret}".encode())
    return digest.hexdigest()


def _written(value: object) -> str | None:
    """Return text, or a whole number as it is written; None for what is neither."""
    whole = as_whole(value)
    return as_text(value) if whole is None else str(whole)


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


ALLOWED_SKEW_MS = 60_000
"""How far `ts` may be from the clock of whoever receives it."""

SIGNED_HEADERS = ("accessKey", "ts", "bizType", "action", "sign", "algorithm")
"""The names of the headers; `algorithm` may be left out."""

_MOST_DIGITS = 20
"""Of a `ts`; those of this epoch have 13, and Python reads no number that is endless."""


def read_ts(text: str) -> int | None:
    """Return the epoch milliseconds of a header `ts`, None for what is no such number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


@define(frozen=True)
class HeaderFault:
    """What is wrong with signed headers.

    Attributes:
        code: the vendor's.
        reason: in words, which hold nothing that came but by how much a time is off.
        is_of_clocks: whether it is but the time, as whoever sent it has another one.
    """

    code: int
    reason: str
    is_of_clocks: bool = False


@define(frozen=True)
class SignedHeaders:
    """The headers of a signed request as they came, "" for those that are missing."""

    access_key: str
    ts: str
    biz_type: str
    action: str
    signature: str = field(repr=False)
    algorithm: str

    @classmethod
    def found_by(cls, find: Callable[[str], str | None]) -> "SignedHeaders":
        """Return those of a request.

        Args:
            find: returns the value of a header, whatever the case of its name; None without one.
        """
        access_key, ts, biz_type, action, signature, algorithm = (find(name) for name in SIGNED_HEADERS)
        return cls(
            access_key or "",
            ts or "",
            biz_type or "",
            action or "",
            signature or "",
            "md5" if algorithm is None else algorithm,
        )

    def in_lower_case(self) -> Self:
        """Return them with a signature and an algorithm that are the same in whatever case they came."""
        return evolve(self, signature=self.signature.lower(), algorithm=self.algorithm.lower())

    def fault(self, signing: Signing, keys: Container[str], *, now_ms: int) -> HeaderFault | None:
        """Return what is wrong with the headers, in the vendor's order; None if nothing is, but for the signature.

        Args:
            signing: the business the request has to be for.
            keys: the access keys that are known.
            now_ms: the clock of whoever receives it, epoch milliseconds.
        """
        told = (self.access_key, self.ts, self.biz_type, self.action, self.signature)
        missing = [name for name, value in zip(SIGNED_HEADERS, told, strict=False) if not value]
        if missing:
            return HeaderFault(1001, f"a signed request needs more headers: there is no {', no '.join(missing)}")
        wrong = self._wrong_value(signing)
        if wrong is not None:
            return HeaderFault(1002, wrong)
        if self.access_key not in keys:
            return HeaderFault(1005, "accessKey is not the one that is expected here")
        return self._fault_of_time(now_ms)

    def ahead_ms(self, now_ms: int) -> int:
        """Return by how many milliseconds the timestamp is ahead of a clock; only for headers without another fault."""
        return int(self.ts) - now_ms

    def _wrong_value(self, signing: Signing) -> str | None:
        if self.biz_type != signing.biz_type:
            return f"bizType has to be {signing.biz_type}"
        if self.action != signing.action:
            return f"action has to be {signing.action}"
        if self.algorithm not in ALGORITHMS:
            return "algorithm has to be md5 or sha256"
        return "ts has to be a number of epoch milliseconds" if read_ts(self.ts) is None else None

    def _fault_of_time(self, now_ms: int) -> HeaderFault | None:
        ahead_ms = self.ahead_ms(now_ms)
        if abs(ahead_ms) <= ALLOWED_SKEW_MS:
            return None
        if int(self.ts) < EARLIEST_MS:
            return HeaderFault(1004, "ts has to be in epoch milliseconds, and is as small a number as if in seconds")
        where = "ahead of" if ahead_ms > 0 else "behind"
        told = f"ts is {abs(ahead_ms) / 1000:.0f} seconds {where} the time here: {ALLOWED_SKEW_MS // 1000} are allowed"
        return HeaderFault(1004, told, is_of_clocks=True)

    def is_signed_by(self, credentials: Credentials, body: bytes) -> bool:
        """Tell whether the signature is that of these headers and this body; only for headers without a fault.

        Args:
            credentials: whose secret has to have signed. The algorithm is the one that the headers name.
            body: the exact bytes that came.
        """
        pair = evolve(credentials, algorithm=self.algorithm)
        expected = sign(pair, action=self.action, biz_type=self.biz_type, ts=self.ts, body=body)
        # Escapes, as a server may read a header as anything; nothing escaped is a signature.
        return compare_digest(expected.encode(), self.signature.encode(errors="backslashreplace"))
