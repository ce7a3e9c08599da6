"""Epoch seconds and the times people read. Pure."""

from datetime import UTC, datetime


def moment_of(seconds: int) -> datetime:
    """Return epoch seconds as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
