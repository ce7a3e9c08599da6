"""What is checked of a push before its body is read, the cheapest first, and whose push it is. Pure."""

import re
from collections.abc import Iterable, Mapping
from hmac import compare_digest

from attrs import define, field

from nxcdr_async.credentials import Credentials
from nxcdr_async.webhook.refusals import PushRefusedError, unauthorized
from nxcdr_async.wire import ALLOWED_SKEW_MS, CALL_PUSH, SIGNED_HEADERS, SignedHeaders

_JSON = re.compile(r"application/json|[^/\s]+/[^/\s]+\+json")
_FAULTS = {
    1001: "a signed push needs the headers accessKey, ts, bizType, action and sign",
    1002: f"bizType has to be {CALL_PUSH.biz_type}, action {CALL_PUSH.action}, ts a number of milliseconds, "
    "algorithm md5 or sha256",
    1004: f"ts is more than {ALLOWED_SKEW_MS // 1000} seconds from the time here",
    1005: "accessKey is not the one that is expected here",
}
"""What is told of the vendor's codes."""


@define(frozen=True)
class Headers:
    """The headers of a request, found whatever the case of their names."""

    _values: Mapping[bytes, list[bytes]] = field(repr=False)

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, bytes]]) -> "Headers":
        """Return those that came as pairs of a name and a value."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            values.setdefault(name.lower(), []).append(value)
        return cls(values)

    def all(self, name: str) -> list[bytes]:
        """Return every value that came under a name."""
        return self._values.get(name.lower().encode(), [])

    def text(self, name: str) -> str | None:
        """Return the value of a name as text, byte by byte; None without one."""
        values = self.all(name)
        return values[0].decode("latin-1") if values else None


@define(frozen=True)
class Head:
    """A request without its body.

    Attributes:
        method: of HTTP.
        path: below whatever the app is mounted on, as `path_below` gives it; None where a router has decided on it.
        headers: as they came.
    """

    method: str
    path: str | None
    headers: Headers


def path_below(path: str, mounted_on: str, outside: str = "") -> str:
    """Return a path below the prefix an app is mounted on, whether or not the framework has taken it off already.

    A slash at the end does not count.

    Args:
        path: as the server or the framework gives it.
        mounted_on: the prefix.
        outside: the beginning of the prefix that only whoever is before a proxy sees, and the path may lack.
    """
    # Litestar puts a slash behind each path.
    for prefix in (mounted_on.rstrip("/"), mounted_on.removeprefix(outside).rstrip("/")):
        if f"{path}/".startswith(f"{prefix}/"):
            return path[len(prefix) :].rstrip("/") or "/"
    return path.rstrip("/") or "/"


def check_shape(head: Head, *, path: str, largest_body: int) -> None:
    """Check what a push looks like from outside.

    Raises:
        PushRefusedError: it cannot be one, or is too large.
    """
    if head.path is not None and head.path != (path.rstrip("/") or "/"):
        raise PushRefusedError(404, "there is nothing here: check the path of the push address")
    if head.method != "POST":
        raise PushRefusedError(405, "calls are pushed by POST", headers={"allow": "POST"})
    if any(value.strip().lower() not in {b"", b"identity"} for value in head.headers.all("content-encoding")):
        raise PushRefusedError(415, "the body has to come as it is, without a content-encoding")
    if not all(_is_json(value.decode("latin-1")) for value in head.headers.all("content-type")):
        raise PushRefusedError(415, "the content-type has to be application/json")
    for value in head.headers.all("content-length"):
        check_size(_length(value), largest_body)


def check_size(size: int, largest: int) -> None:
    """Check the size of a body, or of what came of it.

    Raises:
        PushRefusedError: it is too large.
    """
    if size > largest:
        raise PushRefusedError(413, f"the body is larger than {largest} bytes")


@define(frozen=True)
class Doorkeeper:
    """Knows what shows that a push is the vendor's.

    Attributes:
        token: what the header `token` has to be; None where pushes have to be signed.
        credentials: who has to have signed; None where pushes have to carry the token.
    """

    token: str | None = field(repr=False)
    credentials: Credentials | None

    def admit(self, headers: Headers, *, now_ms: int) -> SignedHeaders | None:
        """Check the headers; return those that were signed, whose signature is to be checked with the body.

        A push with a signature is judged by it alone where credentials are known, any other by its token.

        Raises:
            PushRefusedError: they do not show that the push is the vendor's.
        """
        if self.credentials is not None and (self.token is None or headers.all("sign")):
            return _signed_headers(headers, self.credentials, now_ms)
        self._check_token(headers.all("token"))
        return None

    def check_signature(self, signed: SignedHeaders, body: bytes) -> None:
        """Check the signature of headers that were admitted, over the exact bytes of the body.

        Raises:
            PushRefusedError: it is wrong.
        """
        if self.credentials is None or not signed.is_signed_by(self.credentials, body):
            raise unauthorized("sign is not the signature of this body with the access secret that is known here")

    def _check_token(self, told: list[bytes]) -> None:
        if len(told) != 1:
            also = "" if self.credentials is None else ", and no header sign either"
            raise unauthorized("token came more than once" if told else f"there is no header token{also}")
        if not compare_digest(told[0], (self.token or "").encode()):
            raise unauthorized("token is wrong")


def _signed_headers(headers: Headers, credentials: Credentials, now_ms: int) -> SignedHeaders:
    for name in SIGNED_HEADERS:
        if len(headers.all(name)) > 1:
            raise unauthorized(f"{name} came more than once")
    signed = SignedHeaders.found_by(headers.text)
    fault = signed.fault(CALL_PUSH, {credentials.access_key}, now_ms=now_ms)
    if fault is not None:
        raise unauthorized(_FAULTS[fault])
    return signed


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or _JSON.fullmatch(kind) is not None


def _length(value: bytes) -> int:
    """Return a length that is a number; any other is the server's business, and the body is counted as it comes."""
    digits = value.strip().lstrip(b"0")
    # Python reads no number that is endless.
    return int(digits[:20]) if digits.isdigit() else 0
