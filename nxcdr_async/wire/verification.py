"""The other side of a signature: what whoever receives a signed request checks, in the vendor's order. Pure."""

from collections.abc import Callable, Container
from hmac import compare_digest
from typing import Literal

from attrs import define, evolve, field

from nxcdr_async.credentials import Credentials
from nxcdr_async.signing import sign
from nxcdr_async.wire.endpoints import Signing

ALLOWED_SKEW_MS = 60_000
"""How far `ts` may be from the clock of whoever receives it."""

SIGNED_HEADERS = ("accessKey", "ts", "bizType", "action", "sign", "algorithm")
"""The names of the headers; `algorithm` may be left out."""

_ALGORITHMS: dict[str, Literal["md5", "sha256"]] = {"md5": "md5", "sha256": "sha256"}
_MOST_DIGITS = 20
"""Of a `ts`; those of this epoch have 13, and Python reads no number that is endless."""


def read_ts(text: str) -> int | None:
    """Return the epoch milliseconds of a header `ts`, None for what is no such number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


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

    def fault(self, signing: Signing, keys: Container[str], *, now_ms: int) -> int | None:
        """Return the vendor's code of what is wrong with the headers, None if nothing is. The signature is not checked.

        Args:
            signing: the business the request has to be for.
            keys: the access keys that are known.
            now_ms: the clock of whoever receives it, epoch milliseconds.
        """
        if not all((self.access_key, self.ts, self.biz_type, self.action, self.signature)):
            return 1001
        if Signing(self.biz_type, self.action) != signing or self.algorithm not in _ALGORITHMS:
            return 1002
        ts = read_ts(self.ts)
        if ts is None:
            return 1002
        if self.access_key not in keys:
            return 1005
        return 1004 if abs(now_ms - ts) > ALLOWED_SKEW_MS else None

    def is_signed_by(self, credentials: Credentials, body: bytes) -> bool:
        """Tell whether the signature is that of these headers and this body; only for headers without a fault.

        Args:
            credentials: whose secret has to have signed. The algorithm is the one that the headers name.
            body: the exact bytes that came.
        """
        pair = evolve(credentials, algorithm=_ALGORITHMS[self.algorithm])
        expected = sign(pair, action=self.action, biz_type=self.biz_type, ts=self.ts, body=body)
        # Escapes, as a server may read a header as anything; nothing escaped is a signature.
        return compare_digest(expected.encode(), self.signature.encode(errors="backslashreplace"))
