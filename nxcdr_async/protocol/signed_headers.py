"""What whoever receives a signed request checks, such as a receiver of call pushes. Pure."""

from collections.abc import Callable, Container
from hmac import compare_digest
from typing import Self

from attrs import define, evolve, field

from nxcdr_async.config import ALGORITHMS, Credentials
from nxcdr_async.protocol.auth import HeaderSignature, sign
from nxcdr_async.records.converter import EARLIEST_MS

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

    def fault(self, wanted: HeaderSignature, keys: Container[str], *, now_ms: int) -> HeaderFault | None:
        """Return what is wrong with the headers, in the vendor's order; None if nothing is, but for the signature.

        Args:
            wanted: the business the request has to be for.
            keys: the access keys that are known.
            now_ms: the clock of whoever receives it, epoch milliseconds.
        """
        values = (self.access_key, self.ts, self.biz_type, self.action, self.signature)
        missing = [name for name, value in zip(SIGNED_HEADERS, values, strict=False) if not value]
        if missing:
            return HeaderFault(1001, f"a signed request needs more headers: there is no {', no '.join(missing)}")
        wrong = self._wrong_value(wanted)
        if wrong is not None:
            return HeaderFault(1002, wrong)
        if self.access_key not in keys:
            return HeaderFault(1005, "accessKey is not the one that is expected here")
        return self._fault_of_time(now_ms)

    def ahead_ms(self, now_ms: int) -> int:
        """Return by how many milliseconds the timestamp is ahead of a clock; only for headers without another fault."""
        return int(self.ts) - now_ms

    def _wrong_value(self, wanted: HeaderSignature) -> str | None:
        if self.biz_type != wanted.biz_type:
            return f"bizType has to be {wanted.biz_type}"
        if self.action != wanted.action:
            return f"action has to be {wanted.action}"
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
        message = (
            f"ts is {abs(ahead_ms) / 1000:.0f} seconds {where} the time here: {ALLOWED_SKEW_MS // 1000} are allowed"
        )
        return HeaderFault(1004, message, is_of_clocks=True)

    def is_signed_by(self, credentials: Credentials, body: bytes) -> bool:
        """Return whether the signature is that of these headers and this body; only for headers without a fault.

        Args:
            credentials: whose secret has to have signed. The algorithm is the one that the headers name.
            body: the exact bytes that came.
        """
        pair = evolve(credentials, algorithm=self.algorithm)
        expected = sign(pair, action=self.action, biz_type=self.biz_type, ts=self.ts, body=body)
        # Escapes, as a server may read a header as anything; nothing escaped is a signature.
        return compare_digest(expected.encode(), self.signature.encode(errors="backslashreplace"))
