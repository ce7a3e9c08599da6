"""Every error a caller can meet.

    NxcdrError
    ├── ConfigurationError        used in a way that cannot work
    │   └── BusyError             another run has hold of the store
    ├── TransportError            no whole reply arrived
    │   ├── CertificateError      the TLS certificate was not accepted
    │   ├── ProxyError            a proxy cannot be reached, or refuses
    │   └── TimedOutError         not within the session's timeout
    ├── GatewayError              the gateway replied and refused
    │   ├── AuthenticationError   key, secret, rights
    │   │   └── ClockSkewError    the timestamp is outside the gateway's 60 seconds
    │   ├── InvalidRequestError   a parameter, the address, a redirect
    │   │   └── RefusedRangeError a part of the range lies further back than the gateway tells
    │   ├── ThrottledError        too many requests
    │   └── ServerError           the gateway's own fault
    ├── MalformedReplyError       a reply that is not what the vendor documents
    ├── RecordError               one row of a reply cannot be a record, or be stored
    ├── IncompleteError           the gateway's answers contradict each other, or lines broke off
    │   └── SaturatedDayError     a day has more DID calls than the gateway shows
    ├── SaturatedSecondError      a second holds more calls than the gateway shows
    └── SinkError                 what was read cannot be stored

Errors of the gateway and the line carry no address with a query, no header and no secret.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

LONGEST_ID = 120
"""Characters of a row's id that a message shows; those of the vendor have up to some 60."""


class NxcdrError(Exception):
    """Base of every error this package raises.

    Attributes:
        asked_for: what the request was for that failed, or whose answer was the trouble, such as "page 3 of calls
            2026-01-01T00:00:00+00:00 to 2026-01-02T00:00:00+00:00"; None where no request, or no single one, was.
        attempts: of a request that failed; 0 where it did not, or where its answer was the trouble.
        is_outage: whether the gateway answered no other request either for as long as this one was tried.
        request_id: the id of the last of these requests, to be quoted to the vendor's support; None when no reply told.
        complete_until: when a paginator raised the error, the time (UTC) to ask again from without missing anything
            (for did_calls, its date in the session's `naive_zone`); else None.
    """

    asked_for: str | None = None
    attempts: int = 0
    is_outage: bool = False
    request_id: str | None = None
    complete_until: datetime | None = None

    def __str__(self) -> str:
        what = f"{self.asked_for}: " if self.asked_for else ""
        facts = ", ".join(self._facts() + ([f"{self.attempts} attempts"] if self.attempts > 1 else []))
        return f"{what}{super().__str__()}{f' ({facts})' if facts else ''}{self._advice()}"

    def _facts(self) -> list[str]:
        return [f"request {self.request_id}"] if self.request_id else []

    def _advice(self) -> str:
        return ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors cross processes whole, whatever arguments they were made with."""
        return _restored, (type(self), self.args, self.__dict__)


class ConfigurationError(NxcdrError):
    """Used in a way that cannot work; the message says how to mend it. For a wrong argument, nothing was sent."""


class BusyError(ConfigurationError):
    """The store is in use by another run, or open elsewhere: nothing was read or stored, and later it may be free.

    The command line ends with exit code 75 then, the one by which mailers and schedulers know to try again later.
    """


class TransportError(NxcdrError):
    """No whole reply arrived: no connection, a broken one, a certificate refused, or a timeout."""


class CertificateError(TransportError):
    """The gateway's TLS certificate was not accepted; asking again would not change that."""


class ProxyError(TransportError):
    """The proxy that the gateway is asked through cannot be reached, or refuses to pass the request on.

    Attributes:
        proxy: its address, without user and password.
        http_status: what it refused with, such as 407 where it wants a user and a password; None if it said nothing.
    """

    def __init__(self, message: str, *, proxy: str, http_status: int | None = None) -> None:
        self.proxy = proxy
        self.http_status = http_status
        super().__init__(message)

    def _facts(self) -> list[str]:
        return ([] if self.http_status is None else [f"HTTP {self.http_status}"]) + super()._facts()


class TimedOutError(TransportError):
    """No whole reply within the session's timeout."""


class GatewayError(NxcdrError):
    """The gateway replied and refused.

    Attributes:
        code: the vendor's result code, None when the reply had none (an HTML page, say).
        message: the vendor's own explanation, in whatever language it chose.
        http_status: status of the HTTP reply.
        retry_after: seconds the gateway asked us to wait (`Retry-After`), None when it did not say.
        hint: what to do about it, in our words.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        request_id: str | None = None,
        http_status: int | None = None,
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        self.code = code
        self.message = message
        self.request_id = request_id
        self.http_status = http_status
        self.retry_after = retry_after
        self.hint = hint
        super().__init__(message)

    def _facts(self) -> list[str]:
        numbers = (("code", self.code), ("HTTP", self.http_status))
        return [f"{name} {value}" for name, value in numbers if value is not None] + super()._facts()

    def _advice(self) -> str:
        return f" — {self.hint}" if self.hint else ""


class AuthenticationError(GatewayError):
    """The key, the secret, the signature or the rights of the key were refused (codes 1001, 1003, 1005; 401, 403)."""


class ClockSkewError(AuthenticationError):
    """The timestamp was refused (code 1004) even after it was set by the gateway's own clock."""


class InvalidRequestError(GatewayError):
    """A parameter was refused (1002, 41000), or the address is not that of a gateway (404, most 4xx, a redirect)."""


class RefusedRangeError(InvalidRequestError):
    """A part of the range lies further back than the gateway tells; it answers for what is younger.

    Attributes:
        start: from when on (UTC) it was asked for.
        end: until when (UTC) it is refused: ask from then on.
    """

    def __init__(self, message: str, *, start: datetime, end: datetime, **facts: Any) -> None:
        self.start = start
        self.end = end
        super().__init__(message, **facts)


class ThrottledError(GatewayError):
    """The gateway asked us to slow down (HTTP 429, flash codes 3 and 6)."""


class ServerError(GatewayError):
    """The gateway failed (codes 88, 99, -1, or HTTP 408, 425, most 5xx); the same request may succeed later."""


class MalformedReplyError(NxcdrError):
    """A reply that is not what the vendor documents: HTML, a broken body, a missing part, far too long.

    Attributes:
        is_whole: whether it came to its end and is no answer all the same, so that asking again will hardly help.
    """

    def __init__(self, message: str, *, is_whole: bool = False) -> None:
        self.is_whole = is_whole
        super().__init__(message)


class RecordError(NxcdrError):
    """One row of a reply cannot be a record, or be held by a store.

    Attributes:
        row: the row as it was decoded from JSON, as far as it could be, but for secrets of the session, which a gateway
            may send back; text for one that cannot be read at all.
        path: where in the row the fault is: the vendor's key, or "" for the row as a whole.
        record_id: the row's own id as text, None when it has none.
    """

    def __init__(self, message: str, *, row: Any, path: str) -> None:
        self.row = row
        self.path = path
        self.record_id = _record_id(row)
        where = f"row {_cut(repr(self.record_id))}" if self.record_id is not None else "a row without an id"
        super().__init__(f"{where}{f', {path}' if path else ''}: {message}")


class IncompleteError(NxcdrError):
    """It cannot be shown that no call is missing: a gateway's answers contradict each other, or lines broke off."""


class SaturatedDayError(IncompleteError):
    """One day has more DID calls than the gateway shows of it, and DID calls can only be asked for by the day.

    Attributes:
        day: the day, in the session's `naive_zone`.
    """

    def __init__(self, message: str, *, day: date) -> None:
        self.day = day
        super().__init__(message)


class SaturatedSecondError(NxcdrError):
    """One second holds as many calls as the gateway shows of one question, so there may be more it never shows.

    Attributes:
        second: the second (UTC) that is full.
    """

    def __init__(self, message: str, *, second: datetime) -> None:
        self.second = second
        super().__init__(message)


class SinkError(NxcdrError):
    """What was read cannot be stored, or what is stored not be read: a full disk, a lost database, a broken file.

    What a backfill had stored before is whole, and the next run goes on from there.
    """


def _restored(kind: type[NxcdrError], args: tuple[Any, ...], state: dict[str, Any]) -> NxcdrError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ID else f"{text[:LONGEST_ID]}…"


def _record_id(row: Any) -> str | None:
    if not isinstance(row, Mapping):
        return None
    found = row.get("callId", row.get("id"))
    return None if found is None or found == "" else str(found)
