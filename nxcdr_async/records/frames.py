"""Records as tables and data frames, made part by part while they come, so that they need no memory of their own. Pure.

pyarrow, pandas and polars are imported with the first table or frame, which may take a second; a service that minds
imports them when it starts.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field

from nxcdr_async._util.late_imports import import_arrow, import_late
from nxcdr_async.errors import ConfigurationError, RecordError

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]  # it ships no types; a user may have pandas-stubs
    import polars as pl
    import pyarrow as pa

    from nxcdr_async.records.arrow import BadRowHandler

FrameT = TypeVar("FrameT")


@define(eq=False)
class FrameBuilder(Generic[FrameT]):
    """Builds a table or data frame of records that come one list after the other.

    Attributes:
        part_of: turns rows, with money narrowed, into a part of the whole.
        joined: joins the parts, of which there is one at least, without touching each value.
    """

    record_class: type[Any]
    part_of: "Callable[[pa.Table], Any]"
    joined: Callable[[list[Any]], FrameT]
    _parts: list[Any] = field(factory=list, init=False)
    _records: list[Any] = field(factory=list, init=False)
    _complete_until: datetime | None = field(default=None, init=False)

    def add(self, records: list[Any], complete_until: datetime | None, on_bad_row: "BadRowHandler | None") -> None:
        """Add records, which become rows once there are enough of them.

        Args:
            records: those that follow.
            complete_until: the moment before which no record is missing after them.
            on_bad_row: gets the error of each record that fits into no table, which is left out; None to raise it.

        Raises:
            RecordError: such a record; its `complete_until` is that of the records that became rows.
        """
        from nxcdr_async.records.arrow import RECORDS_AT_ONCE  # noqa: PLC0415 - imports pyarrow

        self._records += records
        if len(self._records) < RECORDS_AT_ONCE:
            return
        self._make_part(on_bad_row)
        self._complete_until = complete_until

    def finish(self, on_bad_row: "BadRowHandler | None") -> FrameT:
        """Return the whole. The arguments and errors are those of `add`."""
        if self._records or not self._parts:
            self._make_part(on_bad_row)
        return self.joined(self._parts)

    def _make_part(self, on_bad_row: "BadRowHandler | None") -> None:
        from nxcdr_async.records.arrow import rows_of, table_for  # noqa: PLC0415 - imports pyarrow
        from nxcdr_async.records.money import narrowed  # noqa: PLC0415 - as above

        records, self._records = self._records, []
        try:
            rows = rows_of(table_for(self.record_class), records, on_bad_row)
        except RecordError as bad:
            bad.complete_until = self._complete_until
            raise
        self._parts.append(self.part_of(narrowed(rows)))


def arrow_table(record_class: type[Any]) -> "FrameBuilder[pa.Table]":
    """Return a builder of a `pyarrow.Table`: the columns and types of a backfill's tables, money narrower.

    Raises:
        ConfigurationError: pyarrow is missing.
    """
    _needed("pyarrow", by="to_arrow")
    from nxcdr_async.records.money import joined  # noqa: PLC0415 - imports pyarrow

    return FrameBuilder(record_class, _as_it_is, joined)


def pandas_frame(record_class: type[Any]) -> "FrameBuilder[pd.DataFrame]":
    """Return a builder of a `pandas.DataFrame`: the types of Arrow, and pandas' own for times.

    pandas has no exact money, and its plain columns turn integers and booleans with nulls into floats and objects; with
    the types of Arrow values stay as they are, and nothing is copied. Its own times are as exact, and only they can be
    an index by time.

    Raises:
        ConfigurationError: pyarrow or pandas is missing.
    """
    pyarrow, pandas = (_needed(package, by="to_pandas") for package in ("pyarrow", "pandas"))
    from nxcdr_async.records.money import joined  # noqa: PLC0415 - imports pyarrow

    def kind_of(kind: "pa.DataType") -> Any:
        return None if pyarrow.types.is_timestamp(kind) else pandas.ArrowDtype(kind)

    return FrameBuilder(record_class, _as_it_is, lambda parts: joined(parts).to_pandas(types_mapper=kind_of))


def polars_frame(record_class: type[Any]) -> "FrameBuilder[pl.DataFrame]":
    """Return a builder of a `polars.DataFrame`, whose types are those of Arrow.

    Raises:
        ConfigurationError: pyarrow or polars is missing.
    """
    _, polars = (_needed(package, by="to_polars") for package in ("pyarrow", "polars"))
    # Relaxed: where a column of one part is wide, it is so in all of them.
    return FrameBuilder(record_class, polars.from_arrow, partial(polars.concat, how="vertical_relaxed"))


def _as_it_is(rows: "pa.Table") -> "pa.Table":
    return rows


def _needed(package: str, *, by: str) -> Any:
    try:
        return import_arrow() if package == "pyarrow" else import_late(package)
    except ImportError as missing:
        raise ConfigurationError(
            f"{by} needs the package {package}, which cannot be imported ({missing}): pip install {package}"
        ) from None
