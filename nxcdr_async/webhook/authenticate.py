"""Checking a push: its head before its body is read, the cheapest first, and that it is the vendor's. Pure."""

import re
from hmac import compare_digest

from attrs import define, field

from nxcdr_async.config import Credentials
from nxcdr_async.protocol.endpoints import CALL_PUSH
from nxcdr_async.protocol.signed_headers import SIGNED_HEADERS, HeaderFault, SignedHeaders
from nxcdr_async.webhook.http import Head, Headers, PushRefusedError, unauthorized

_JSON = re.compile(r"application/json|[^/\s]+/[^/\s]+\+json")
_SIGNATURE_DIGITS = {"md5": 32, "sha256": 64}
_HEXADECIMAL = re.compile(r"[0-9a-f]+")


def check_head(head: Head, *, path: str, largest_body: int) -> None:
    """Check the method, path and headers of a push.

    Raises:
        PushRefusedError: it cannot be a push, or is too large.
    """
    if head.path is not None and head.path != (path.rstrip("/") or "/"):
        raise PushRefusedError(404, "there is nothing here: check the path of the push address")
    if head.method != "POST":
        raise PushRefusedError(405, "calls are pushed by POST", headers={"allow": "POST"})
    if any(value.strip().lower() not in {b"", b"identity"} for value in head.headers.all("content-encoding")):
        raise PushRefusedError(415, "the body has to come as it is, without a content-encoding")
    if not all(_is_json(value.decode("latin-1")) for value in head.headers.all("content-type")):
        raise PushRefusedError(415, "the content-type has to be application/json")
    check_size(length_in(head.headers) or 0, largest_body)


def check_size(size: int, largest: int) -> None:
    """Check the size of a body, or of what came of it.

    Raises:
        PushRefusedError: it is too large.
    """
    if size > largest:
        raise PushRefusedError(413, f"the body is larger than {largest} bytes")


def length_in(headers: Headers) -> int | None:
    """Return how many bytes the headers say that the body has; None if they do not, or it comes in chunks."""
    lengths = [] if headers.all("transfer-encoding") else headers.all("content-length")
    return max(map(_length, lengths), default=None)


def check_whole(body: bytes, length: int | None) -> None:
    """Check that all of a body came, by the length in its head, and that it is not empty.

    Raises:
        PushRefusedError: it was cut short on its way, or is empty.
    """
    if length is not None and len(body) < length:
        reason = f"the body is shorter than its Content-Length: of {length} bytes {len(body)} came"
        raise PushRefusedError(400, reason)
    if not body:
        raise PushRefusedError(400, "the body is empty: a push is a call as JSON")


@define(frozen=True)
class Authenticator:
    """Checks that a push is the vendor's, by its token or its signature.

    Attributes:
        token: what the header `token` has to be; None where pushes have to be signed.
        credentials: the key pair that signs; None where pushes have to carry the token.
    """

    token: str | None = field(repr=False)
    credentials: Credentials | None

    def admit(self, headers: Headers, *, now_ms: int) -> SignedHeaders | None:
        """Check the headers; return those that were signed, whose signature is checked once the body is there.

        A push with a signature is judged by it alone where credentials are known, any other by its token.

        Raises:
            PushRefusedError: they do not prove that the push is the vendor's.
        """
        if self.credentials is not None and (self.token is None or headers.all("sign")):
            return _signed_headers(headers, self.credentials, now_ms)
        self._check_token(headers)
        return None

    def check_signature(self, signed: SignedHeaders, body: bytes) -> None:
        """Check the signature of headers that were admitted, over the exact bytes of the body.

        Raises:
            PushRefusedError: it is wrong.
        """
        if self.credentials is None or not signed.is_signed_by(self.credentials, body):
            raise unauthorized(_fault_of_signature(signed))

    def check_time(self, signed: SignedHeaders, *, now_ms: int) -> None:
        """Check the timestamp of headers whose signature is right.

        Raises:
            PushRefusedError: it is too far from the time here.
        """
        fault = None if self.credentials is None else _fault_of(signed, self.credentials, now_ms)
        if fault is not None:
            raise unauthorized(fault.reason)

    def _check_token(self, headers: Headers) -> None:
        tokens = headers.all("token")
        if not tokens:
            raise unauthorized(f"there is no header token{self._instead(headers)}")
        if len(tokens) > 1:
            raise unauthorized("token came more than once")
        if not compare_digest(tokens[0], (self.token or "").encode()):
            raise unauthorized("token is wrong" if tokens[0].strip() else "token is empty")

    def _instead(self, headers: Headers) -> str:
        """Say what a push has, or lacks, besides a token."""
        if self.credentials is not None:
            return ", and no header sign either"
        return ", but a signature, which no credentials are known for here" if headers.all("sign") else ""


def _signed_headers(headers: Headers, credentials: Credentials, now_ms: int) -> SignedHeaders:
    for name in SIGNED_HEADERS:
        if len(headers.all(name)) > 1:
            raise unauthorized(f"{name} came more than once")
    signed = SignedHeaders.found_by(headers.text).in_lower_case()
    fault = _fault_of(signed, credentials, now_ms)
    # A wrong time is reported only once the signature has proven that the push is the vendor's.
    if fault is not None and not fault.is_of_clocks:
        instead = "" if signed.signature or not headers.all("token") else "; its token is not asked for here"
        raise unauthorized(f"{fault.reason}{instead}")
    return signed


def _fault_of(signed: SignedHeaders, credentials: Credentials, now_ms: int) -> HeaderFault | None:
    return signed.fault(CALL_PUSH, {credentials.access_key}, now_ms=now_ms)


def _fault_of_signature(signed: SignedHeaders) -> str:
    digits = _SIGNATURE_DIGITS[signed.algorithm]
    if not _HEXADECIMAL.fullmatch(signed.signature):
        return "sign is no signature: it has to be hexadecimal digits"
    if len(signed.signature) != digits:
        fault = f"sign has {len(signed.signature)} digits, and one by {signed.algorithm} has {digits}"
        return f"{fault}: the header algorithm has to name what it was made by, and means md5 if it is not there"
    return "sign is not the signature of this body with the access secret that is known here"


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or _JSON.fullmatch(kind) is not None


def _length(value: bytes) -> int:
    """Return a length that is a number, 0 for any other, which the server has to judge; the body is counted anyway."""
    digits = value.strip().lstrip(b"0")
    # Python reads no number that is endless.
    return int(digits[:20]) if digits.isdigit() else 0
