"""Following a source: what is asked of it, since when or from which position on, and how often."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from nxcdr_async._util.validation import as_number
from nxcdr_async.errors import ConfigurationError, NxcdrError
from nxcdr_async.paging.follow_schedule import FollowSchedule
from nxcdr_async.paging.follower import FollowedSource, Follower, Position, restored
from nxcdr_async.sources.base import FollowOptions, Source
from nxcdr_async.sources.units import Days
from nxcdr_async.windows import DAY, FARTHEST_OUTSIDE, Window, window_of

LONGEST_ROUND = DAY
"""Seconds from one round to the next at most."""


def follow_source(
    source: Source,
    filters: Mapping[str, Any],
    options: FollowOptions,
    *,
    since: datetime | None,
    position: Position | None,
    every: float,
    settle: timedelta,
    on_retry: Callable[[NxcdrError], object] | None,
) -> Follower[Any]:
    """Return what follows a source; the arguments are those of `CdrSession.follow`.

    Raises:
        ConfigurationError: an argument cannot work.
    """
    context, endpoint, unit, query = source.context, source.endpoint, source.unit, source.question(filters)
    context.need_keys(endpoint)
    seconds = as_number(every)
    if seconds is None or not 1 <= seconds <= LONGEST_ROUND:
        raise ConfigurationError(f"every is {every!r}: give the seconds between two rounds, from 1 to a day")
    if not isinstance(settle, timedelta) or settle < timedelta(minutes=1):
        raise ConfigurationError(f"settle is {settle!r}: give a timedelta of a minute or more")
    round_seconds, settle_seconds = round(seconds), math.ceil(settle.total_seconds())
    has_days = isinstance(unit, Days)
    client = context.client
    followed: FollowedSource[Any] = FollowedSource(
        endpoint=endpoint,
        read=lambda window: source.follow_window(window, query, options),
        widened=lambda window: Window(unit.floor(window.start), unit.ceiling(window.end)),
        margin=DAY if has_days else FARTHEST_OUTSIDE,
        time=lambda: context.time_at(endpoint),
        steady=lambda: client.now(),  # noqa: PLW0108 - a client's clock may be set after this
        sleep=lambda seconds: client.sleep(seconds),  # noqa: PLW0108 - likewise
        chance=lambda: client.chance(),  # noqa: PLW0108 - likewise
        asked_for=f"{source.name} {blake2b(repr(query).encode(), digest_size=6).hexdigest()}",
    )
    if position is not None:
        schedule, handed_out, not_before = restored(position, followed.asked_for, round_seconds, settle_seconds)
        return Follower(followed, schedule, handed_out=handed_out, not_before=not_before, on_retry=on_retry)
    start = int(context.time_at(endpoint).least) if since is None else _seconds(since)
    schedule = FollowSchedule.since(unit.floor(start), round_seconds, settle_seconds)
    return Follower(followed, schedule, not_before=start if has_days else None, on_retry=on_retry)


def _seconds(since: datetime) -> int:
    if not isinstance(since, datetime) or since.tzinfo is None:
        raise ConfigurationError(f"since is {since!r}: give an aware datetime, or None to begin now")
    return window_of(since, since + timedelta(seconds=1)).start
