"""Moments are of the true types, whatever stands in for them."""

from datetime import UTC, date, datetime

import pytest
from attrs import define, fields
from freezegun import freeze_time

from nxcdr_async import CallRecord, json_lines, make_converter
from nxcdr_async._util.moments import EPOCH, TrueTypes, moment_at, with_true_times

NEW_YEAR = 1_767_225_600


def test_the_true_types_are_those_of_the_standard_library() -> None:
    assert (datetime, date) == (TrueTypes.DATETIME, TrueTypes.DATE)


def test_a_moment_is_of_the_true_type_while_time_is_frozen() -> None:
    with freeze_time("2020-02-29"):
        assert type(datetime.now(UTC)) is not type(EPOCH)
        assert type(moment_at(NEW_YEAR)) is type(EPOCH)


def test_epoch_seconds_are_a_time_in_utc() -> None:
    assert moment_at(NEW_YEAR) == datetime(2026, 1, 1, tzinfo=UTC)
    assert moment_at(-1.5).isoformat() == "1969-12-31T23:59:58.500000+00:00"
    with pytest.raises(OverflowError):
        moment_at(1e15)


def test_a_class_that_is_defined_while_time_is_frozen_has_true_times() -> None:
    with freeze_time("2020-02-29"):

        @define(field_transformer=with_true_times)
        class Row:
            at: datetime
            until: datetime | None
            name: str
            number: int | None

    kinds = [attribute.type for attribute in fields(Row)]
    assert kinds == [type(EPOCH), type(EPOCH) | None, str, int | None]


def test_a_record_of_another_kind_of_time_is_written_like_any() -> None:
    with freeze_time("2026-01-01 00:00:00.5"):
        record = CallRecord(call_id="a", start_time=datetime.now(UTC))
        (line,) = json_lines([record]).splitlines()
        row = make_converter().unstructure(record)
    assert b'"start_time":"2026-01-01T00:00:00.500000Z"' in line
    assert row["startTime"] == NEW_YEAR * 1000 + 500
