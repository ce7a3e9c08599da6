"""Zones of every kind give the times that Python's own would, or are refused when a session is made."""

import copy
import pickle
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytz
from dateutil import tz as dateutil_zones
from hypothesis import given, strategies as st

from nxcdr_async import CdrSession, ConfigurationError
from nxcdr_async._util.zones import LocalZone, checked_zone
from nxcdr_async.records.converter import make_converter, to_local
from nxcdr_async.session import context_of
from nxcdr_async.sources.did import DidSource
from nxcdr_async.testing import Gateway
from nxcdr_async.windows import check_offset, window_of
from tests.sessions import OpenSession


def wall(*parts: int) -> datetime:
    """Return a local time, which has no zone yet."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type, misc]


NAMES = [
    "Asia/Shanghai",
    "Asia/Kolkata",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "America/Havana",
    "UTC",
]
MOMENTS = st.datetimes(wall(1970, 1, 3), wall(2025, 12, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
LOCALS = st.datetimes(wall(1970, 1, 3), wall(2025, 12, 1))


class Fixed(tzinfo):
    """What many write by hand."""

    def __init__(self, offset: timedelta | None = timedelta(hours=8), dst: timedelta | None = timedelta(0)) -> None:
        self.offset, self.summer = offset, dst

    def utcoffset(self, _moment: datetime | None) -> timedelta | None:
        return self.offset

    def dst(self, _moment: datetime | None) -> timedelta | None:
        return self.summer

    def tzname(self, _moment: datetime | None) -> str:
        return "fixed"


class Raising(Fixed):
    def utcoffset(self, _moment: datetime | None) -> timedelta | None:
        raise LookupError("no table")


class Contradicting(Fixed):
    """Makes local times eight hours ahead, and reads them as nine."""

    def fromutc(self, moment: datetime) -> datetime:
        return moment + timedelta(hours=8)

    def utcoffset(self, _moment: datetime | None) -> timedelta | None:
        return timedelta(hours=9)


KINDS: dict[str, Any] = {"pytz": pytz.timezone, "dateutil": dateutil_zones.gettz, "zoneinfo": ZoneInfo}


@cache
def zone_of(kind: str, name: str) -> tzinfo:
    return checked_zone(KINDS[kind](name), "zone")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
@given(moment=MOMENTS)
def test_local_times_are_those_of_zoneinfo(kind: str, name: str, moment: datetime) -> None:
    zone, expected = zone_of(kind, name), moment.astimezone(ZoneInfo(name))
    local = moment.astimezone(zone)
    assert local.replace(tzinfo=None) == expected.replace(tzinfo=None)
    assert local.utcoffset() == expected.utcoffset()
    assert local.astimezone(UTC) == moment


@pytest.mark.parametrize("name", NAMES)
@given(local=LOCALS, fold=st.sampled_from([0, 1]))
def test_a_local_time_of_pytz_is_the_moment_that_zoneinfo_says(name: str, local: datetime, fold: int) -> None:
    pytz_zone, zone = zone_of("pytz", name), ZoneInfo(name)
    assert local.replace(tzinfo=pytz_zone, fold=fold).timestamp() == local.replace(tzinfo=zone, fold=fold).timestamp()


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("America/New_York", wall(2026, 3, 8, 2, 30)),
        ("America/New_York", wall(2026, 11, 1, 1, 30)),
        ("Europe/Dublin", wall(2026, 3, 29, 1, 30)),
        ("Australia/Lord_Howe", wall(2026, 4, 5, 1, 45)),
        ("America/Sao_Paulo", wall(2018, 11, 4)),
        ("America/Havana", wall(2025, 11, 2, 0, 30)),
    ],
)
def test_times_that_come_twice_or_never_go_by_their_fold(name: str, local: datetime, fold: int) -> None:
    pytz_zone, zone = zone_of("pytz", name), ZoneInfo(name)
    assert local.replace(tzinfo=pytz_zone, fold=fold).utcoffset() == local.replace(tzinfo=zone, fold=fold).utcoffset()


ALIKE: list[Any] = [
    pytz.timezone("Asia/Shanghai"),
    dateutil_zones.gettz("Asia/Shanghai"),
    ZoneInfo("Asia/Shanghai"),
    timezone(timedelta(hours=8)),
    pytz.FixedOffset(480),
    dateutil_zones.tzoffset(None, 28_800),
    Fixed(),
]


@pytest.mark.parametrize("zone", ALIKE, ids=lambda zone: type(zone).__name__)
async def test_every_room_takes_a_zone_for_what_it_is(zone: tzinfo) -> None:
    async with CdrSession(naive_zone=zone) as session:
        zone = session.naive_zone
        noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
        assert to_local(noon, zone) == "2026-01-31 20:00:00"
        assert make_converter(zone).structure("2026-01-31 20:00:00", datetime) == noon
        day = DidSource(context_of(session)).unit.whole(date(2026, 1, 31), date(2026, 1, 31))
        assert (day.start, day.seconds) == (int(datetime(2026, 1, 30, 16, tzinfo=UTC).timestamp()), 86_400)
        assert DidSource(context_of(session)).unit.floor(day.start + 5) == day.start
        check_offset(zone, day)


async def test_days_of_a_zone_of_pytz_hold_all_their_calls(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session(naive_zone=pytz.timezone("Asia/Shanghai"))
    first, last = (moment.astimezone(session.naive_zone).date() for moment in (gateway.first_call, gateway.last_call))
    calls = await session.did_calls(first - timedelta(days=1), last + timedelta(days=1)).collect()
    assert [call.id for call in calls] == gateway.did_ids()
    moments = [row["startTime"] for row in gateway.history.did_calls()]
    assert [to_local(call.start_time, ZoneInfo("Asia/Shanghai")) for call in calls] == moments


def test_an_offset_with_seconds_is_kept() -> None:
    zone = checked_zone(timezone(timedelta(hours=8, minutes=5, seconds=43)), "zone")
    assert to_local(datetime(2026, 1, 1, tzinfo=UTC), zone) == "2026-01-01 08:05:43"


@pytest.mark.parametrize(
    "zone",
    [
        Fixed(None),
        Fixed(dst=None),
        Fixed(timedelta(hours=30)),
        Raising(),
        Contradicting(),
        tzinfo(),
        timezone(timedelta(microseconds=1)),
        "Asia/Shanghai",
        8,
        None,
        timedelta(hours=8),
    ],
    ids=lambda zone: type(zone).__name__,
)
def test_what_is_no_zone_is_refused_when_a_session_is_made(zone: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"naive_zone .*: give a zone such as ZoneInfo"):
        CdrSession(naive_zone=zone)


@pytest.mark.parametrize("zone", [pytz.timezone("America/New_York"), Fixed()], ids=["pytz", "own"])
def test_a_zone_can_be_copied_and_sent_to_another_process(zone: tzinfo) -> None:
    checked = checked_zone(zone, "zone")
    moment = datetime(2026, 7, 1, tzinfo=UTC)
    assert isinstance(checked, LocalZone)
    for twin in (copy.deepcopy(checked), pickle.loads(pickle.dumps(checked))):
        assert str(twin) == str(checked)
        assert moment.astimezone(twin).utcoffset() == moment.astimezone(checked).utcoffset()


def test_a_store_knows_a_zone_again_by_its_name() -> None:
    assert str(checked_zone(pytz.timezone("Asia/Shanghai"), "zone")) == str(ZoneInfo("Asia/Shanghai"))
    assert str(checked_zone(pytz.utc, "zone")) == "UTC"
    assert {str(checked_zone(Fixed(), "zone")) for _ in range(3)} == {str(timezone(timedelta(hours=8)))}


def test_zones_whose_names_are_addresses_are_told_apart_by_their_offsets() -> None:
    class Summery(Fixed):
        def __init__(self, months: range) -> None:
            super().__init__()
            self.months = months

        def utcoffset(self, moment: datetime | None) -> timedelta:
            return timedelta(hours=1 + bool(moment and moment.month in self.months))

        def dst(self, moment: datetime | None) -> timedelta:
            return timedelta(hours=bool(moment and moment.month in self.months))

    names = [str(checked_zone(Summery(range(4, last)), "zone")) for last in (9, 9, 10)]
    assert names[0] == names[1] != names[2]


def test_a_time_with_a_zone_of_pytz_that_was_not_localized_is_refused() -> None:
    zone = pytz.timezone("Asia/Shanghai")
    start, end = (zone.localize(wall(2026, 1, day)) for day in (1, 2))
    assert window_of(start, end).seconds == 86_400
    with pytest.raises(ConfigurationError, match=r"start was given a zone of pytz .*zone\.localize"):
        window_of(datetime(2026, 1, 1, tzinfo=zone), end)
