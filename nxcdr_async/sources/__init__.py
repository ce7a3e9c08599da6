"""One file for each API of the vendor: what can be asked of it, how its answers are paged, and in what unit of time.

A new API is a row of `protocol.endpoints`, a file here, a method of the session, a command and a route of the emulator.
If its records are to be stored, it is a `Source` in the table below, with a record class in `records.models` and a
table in `records.arrow`.
"""

from collections.abc import Callable

from nxcdr_async.records.models import SourceName
from nxcdr_async.sources.base import Source, SourceContext
from nxcdr_async.sources.calls import CallSource
from nxcdr_async.sources.did import DidSource
from nxcdr_async.sources.flash import FlashSource

SOURCES: dict[SourceName, Callable[[SourceContext], Source]] = {
    source.name: source for source in (CallSource, DidSource, FlashSource)
}
"""Those whose records can be stored, which backfill, sync, verify and plan read from."""
