"""The stream: three ways to read a range, one pump that reads its windows side by side, and the Paginator on top."""

from nxcdr_async.pages.capped import CappedList
from nxcdr_async.pages.counted import CountedPages
from nxcdr_async.pages.paginator import Paginator, cancel_and_wait, wait_for_end
from nxcdr_async.pages.pump import Pump
from nxcdr_async.pages.sequencer import Sequencer
from nxcdr_async.pages.source import (
    Ask,
    OnBadRow,
    PageReader,
    PageSize,
    ReadResult,
    RowStructurer,
    Source,
    bad_row_taker,
    in_words,
)
from nxcdr_async.pages.windowed import WindowedPages

__all__ = [
    "Ask",
    "CappedList",
    "CountedPages",
    "OnBadRow",
    "PageReader",
    "PageSize",
    "Paginator",
    "Pump",
    "ReadResult",
    "RowStructurer",
    "Sequencer",
    "Source",
    "WindowedPages",
    "bad_row_taker",
    "cancel_and_wait",
    "in_words",
    "wait_for_end",
]
