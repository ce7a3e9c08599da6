"""What the ledger knows to be missing, as reports tell it. Pure."""

from nxcdr_async._util.moments import moment_at
from nxcdr_async.ingest.report import Gap
from nxcdr_async.sinks.ledger import Ledger, LedgerEntry
from nxcdr_async.sources.units import TimeUnit
from nxcdr_async.windows import Window


def gaps_of(unit: TimeUnit, entry: LedgerEntry, whole: Window) -> list[Gap]:
    """Return what is known to be missing in a window, as far as it may be in a range."""
    gaps = []
    for second in entry.saturated:
        full = Window(unit.floor(second), unit.ceiling(second + 1))
        if full.shared_with(whole):
            gaps.append(Gap(unit.saturated, moment_at(full.start), moment_at(full.end), None))
    refused = [part for each in entry.refused if (part := each.shared_with(whole))]
    gaps += [Gap("refused range", moment_at(part.start), moment_at(part.end), None) for part in refused]
    if entry.bad_rows:
        gaps.append(Gap("bad rows", moment_at(entry.window.start), moment_at(entry.window.end), entry.bad_rows))
    return gaps


def holes_in(ledger: Ledger) -> list[Gap]:
    """Return what was never read between the first and the last window, unless it is not wanted any more."""
    if not ledger.entries:
        return []
    start, end = max(ledger.entries[0].window.start, ledger.pruned_before or 0), ledger.entries[-1].window.end
    missing = ledger.missing(Window(start, end)) if start < end else []
    return [Gap("never read", moment_at(part.start), moment_at(part.end), None) for part in missing]
