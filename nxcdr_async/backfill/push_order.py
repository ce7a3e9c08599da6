"""Which of two pushes of a call is the older one, as nothing in a push tells when it was sent. Pure."""

from functools import reduce

import pyarrow.compute as pc
from attrs import evolve

from nxcdr_async.backfill.matching import Matched
from nxcdr_async.backfill.merge import merged_columns
from nxcdr_async.export.tables import EXTRA, Table

END = "end_time"


def late(table: Table, matched: Matched) -> Matched:
    """Return of the rows that were pushed again those that came late, beside how these are stored.

    A push that was tried again after a newer one was taken tells less than that: no end of a call that ended, or
    nothing that is not there, and not all that is. One that tells as much, or more, is taken for the newer one.
    """
    stored, pushed = matched.stored, matched.known
    names = [name for name in table.columns if name != EXTRA]
    is_there, is_told = ([pc.is_valid(rows[name]) for name in names] for rows in (stored, pushed))
    tells_less = reduce(pc.or_, map(pc.and_not, is_there, is_told))
    tells_more = reduce(pc.or_, map(pc.and_not, is_told, is_there))
    has_no_end = pc.and_not(is_there[names.index(END)], is_told[names.index(END)])
    is_late = pc.or_(has_no_end, pc.and_not(tells_less, tells_more))
    return evolve(matched, stored=stored.filter(is_late), known=pushed.filter(is_late))


def contradicting(table: Table, matched: Matched) -> int:
    """Count the pushed rows that tell another value than is stored."""
    columns = [column for column in merged_columns(table, matched) if column.name != EXTRA]
    contradicts = [pc.and_(column.differs, pc.is_valid(matched.stored[column.name])) for column in columns]
    return int(pc.sum(reduce(pc.or_, contradicts)).as_py() or 0)
