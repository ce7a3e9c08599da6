"""The stream: three ways to read a range, one pump that reads its windows side by side, and the Paginator on top."""

from nxcdr_async.pages.at_once import read_at_once
from nxcdr_async.pages.bounded import BoundedSource, Questions
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
from nxcdr_async.pages.window_pages import WindowPageReader
from nxcdr_async.pages.windowed import WindowedPages

__all__ = [
    "Ask",
    "BoundedSource",
    "CappedList",
    "CountedPages",
    "OnBadRow",
    "PageReader",
    "PageSize",
    "Paginator",
    "Pump",
    "Questions",
    "ReadResult",
    "RowStructurer",
    "Sequencer",
    "Source",
    "WindowPageReader",
    "WindowedPages",
    "bad_row_taker",
    "cancel_and_wait",
    "in_words",
    "read_at_once",
    "wait_for_end",
]
