"""The vendor's two ways to write a time: epoch milliseconds, and local text without a zone (UTC+8, whole seconds)."""

from datetime import datetime, timedelta

from nxcdr_async._util.moments import EPOCH
from nxcdr_async.records.converter import UTC_PLUS_8

HOUR_MS = 3_600_000
HALF_DAY_MS = 12 * HOUR_MS
DAY_MS = 24 * HOUR_MS

_MILLISECOND = timedelta(milliseconds=1)


def epoch_ms(moment: datetime) -> int:
    """Return an aware datetime as epoch milliseconds.

    Raises:
        ValueError: the datetime is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone means nothing here: use an aware datetime")
    return (moment - EPOCH) // _MILLISECOND


def moment_at_ms(moment_ms: int) -> datetime:
    """Return epoch milliseconds as a datetime in UTC."""
    return EPOCH + moment_ms * _MILLISECOND


def local_text(moment_ms: int) -> str:
    """Return epoch milliseconds as local text, cut to the second."""
    return moment_at_ms(moment_ms).astimezone(UTC_PLUS_8).isoformat(" ")[:19]


def offset_text(moment_ms: int) -> str:
    """Return epoch milliseconds as otp/call/get writes them: 2026-01-31T00:30:00.000+0000."""
    return f"{moment_at_ms(moment_ms).replace(tzinfo=None).isoformat(timespec='milliseconds')}+0000"


def local_ms(text: str) -> int:
    """Return local text as epoch milliseconds.

    Raises:
        ValueError: it is not written as 2026-01-31 08:30:00.
    """
    return epoch_ms(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC_PLUS_8))
