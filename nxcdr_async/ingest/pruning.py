"""Removes old rows from a sink on purpose."""

from collections.abc import Sequence
from functools import partial

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.job import locked
from nxcdr_async.ingest.report import PrunedSource, PruneReport
from nxcdr_async.records.arrow import TABLES
from nxcdr_async.records.models import SourceName
from nxcdr_async.sinks.protocol import PruneSink, Sink


async def prune_sink(sink: Sink, before: int, sources: Sequence[SourceName], *, is_trial: bool) -> PruneReport:
    """Remove the rows of some sources before a moment, epoch seconds; of each that the sink holds.

    Raises:
        ConfigurationError: it holds none of them, or can remove nothing.
        SinkError: they could not be removed. Those of sources before are.
    """
    if not isinstance(sink, PruneSink):
        raise ConfigurationError(f"{sink.name} removes no rows: a sink of your own needs the method prune for that")
    async with locked(sink):
        stored = await in_thread(partial(_stored, sink, sources))
        if not stored:
            names = " or ".join(TABLES[source].name for source in sources)
            raise ConfigurationError(f"{sink.name} holds no {names}: give the --to of an earlier backfill")
        pruned = [
            PrunedSource(source, await in_thread(partial(sink.prune, TABLES[source], before, is_trial=is_trial)))
            for source in stored
        ]
    return PruneReport(sink.name, moment_at(before), tuple(pruned), dry_run=is_trial)


def _stored(sink: Sink, sources: Sequence[SourceName]) -> list[SourceName]:
    """Return those of the sources that a sink holds; all are inspected before anything is removed."""
    return [source for source in sources if sink.inspect(TABLES[source]) is not None]
