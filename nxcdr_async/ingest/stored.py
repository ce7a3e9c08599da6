"""Which sources a sink holds."""

from functools import partial

from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.job import locked
from nxcdr_async.records.arrow import TABLES
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.protocol import Sink
from nxcdr_async.sources import SOURCES


async def sources_begun(sink: Sink) -> tuple[SourceName, ...]:
    """Return the sources that were read into a sink, which is held meanwhile and stays as it is.

    Raises:
        BusyError: another run has hold of it.
        ConfigurationError: there is none.
        SinkError: it cannot be read.
    """
    async with locked(sink):
        found = [source for source in SOURCES if await in_thread(partial(_is_begun, sink, source))]
    if not found:
        raise ConfigurationError(
            f"{sink.name} holds nothing that was read yet: name a source (calls, did or flash), and say from when on "
            "to read it"
        )
    return tuple(found)


def _is_begun(sink: Sink, source: SourceName) -> bool:
    state = sink.inspect(TABLES[source])
    return state is not None and bool(state.entries)
