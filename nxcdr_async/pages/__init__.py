"""The stream: three ways to read a range, one pump that reads its pieces side by side, and the Paginator on top."""

from nxcdr_async.pages.capped import CappedList
from nxcdr_async.pages.counted import CountedPages
from nxcdr_async.pages.paginator import Paginator, stop
from nxcdr_async.pages.pump import Mailbox, Pump
from nxcdr_async.pages.sequencer import Sequencer
from nxcdr_async.pages.source import PageSize, RowStructurer, Source
from nxcdr_async.pages.windowed import WindowedPages

__all__ = [
    "CappedList",
    "CountedPages",
    "Mailbox",
    "PageSize",
    "Paginator",
    "Pump",
    "RowStructurer",
    "Sequencer",
    "Source",
    "WindowedPages",
    "stop",
]
