"""Storing many of which a sink may not be able to hold some: these are found by halves. Lives in worker threads."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from nxcdr_async.backfill.sinks.protocol import UnfitError

ItemT = TypeVar("ItemT")


def store_by_halves(
    items: Sequence[ItemT], store: Callable[[Sequence[ItemT]], None]
) -> Iterator[tuple[ItemT, UnfitError]]:
    """Store all that can be held; yield each that cannot, with the reason, once all before it are stored.

    Args:
        items: at least one.
        store: stores some, all or none of them.

    Raises:
        Exception: whatever else than `UnfitError` keeps some from being stored.
    """
    try:
        store(items)
    except UnfitError as unfit:
        reason = unfit
    else:
        return
    if len(items) == 1:
        yield items[0], reason
        return
    middle = len(items) // 2
    yield from store_by_halves(items[:middle], store)
    yield from store_by_halves(items[middle:], store)
