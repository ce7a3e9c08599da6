"""`nxcdr verify` in processes of its own, on stores that `nxcdr backfill` filled."""

import sqlite3
import stat
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nxcdr_async.testing import Gateway

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
VERIFY = ("verify", "--to", "c.sqlite")


def change(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(statement).fetchall()


@pytest.fixture
def store(nxcdr: Any) -> Path:
    days = ("--start", "2026-01-01", "--end", "2026-01-03")
    assert nxcdr("backfill", "calls", *days, "--to", "c.sqlite").code == 0
    return Path(nxcdr.folder / "c.sqlite")


def told(err: str) -> dict[str, str]:
    lines = [line.split(maxsplit=1) for line in err.splitlines()]
    return {label: text for label, text in lines if label != "-"}


def test_a_store_that_is_as_the_gateway_tells_ends_with_code_0(nxcdr: Any, store: Path) -> None:
    before = store.read_bytes()
    ended = nxcdr(*VERIFY)
    assert (ended.code, ended.out) == (0, "")
    assert "700 rows: 0 missing, 0 different, 0 extra, 0 mended" in told(ended.err)["calls"]
    assert told(ended.err)["verified"].startswith("c.sqlite, ")
    assert told(ended.err)["result"] == "all that was read is stored as the gateway tells it"
    assert store.read_bytes() == before


def test_differences_end_with_code_1_and_are_mended_on_request(nxcdr: Any, store: Path, gateway: Gateway) -> None:
    lost, other = gateway.call_ids()[10:12]
    change(store, f"DELETE FROM calls WHERE call_id = '{lost}'")
    change(store, f"UPDATE calls SET caller = 'tampered' WHERE call_id = '{other}'")
    found = nxcdr(*VERIFY, "--all")
    assert found.code == 1
    assert f"- {lost} of 2026-01-01T" in found.err
    assert "is stored with another caller" in found.err
    assert "2 differences are left: --fix stores" in found.err
    assert "tampered" not in found.err

    mended = nxcdr(*VERIFY, "--all", "--fix")
    assert (mended.code, told(mended.err)["result"]) == (0, "what differed is mended")
    assert nxcdr(*VERIFY, "--all").code == 0
    assert change(store, "SELECT count(*) FROM calls") == [(700,)]


def test_a_row_that_only_the_store_has_is_left_and_ends_with_code_1(nxcdr: Any, store: Path) -> None:
    change(store, "INSERT INTO calls (call_id, start_time) VALUES ('made up', '2026-01-01T09:00:00.000000Z')")
    ended = nxcdr(*VERIFY, "--all", "--fix")
    assert ended.code == 1
    assert "1 difference is left: nothing is ever deleted" in ended.err
    assert change(store, "SELECT count(*) FROM calls") == [(701,)]


def test_a_known_gap_ends_with_code_3(nxcdr: Any) -> None:
    with Gateway(calls=0, did_calls=0, flash_calls=0, days=2) as full:
        for _ in range(130):
            full.add_flash_call(gmtCreate="2026-01-01 20:00:00")
        days = ("--start", "2026-01-01", "--end", "2026-01-02")
        assert nxcdr("backfill", "flash", *days, "--to", "c.sqlite", NXCDR_GATEWAY=full.url).code == 3
        ended = nxcdr(*VERIFY, "--source", "flash", NXCDR_GATEWAY=full.url)
    assert ended.code == 3
    assert "2026-01-01T12:00:00Z holds more calls than the gateway shows" in ended.err


def test_a_store_without_sealed_windows_says_so_and_proves_nothing(nxcdr: Any, store: Path) -> None:  # noqa: ARG001 - is verified
    ended = nxcdr(*VERIFY, "--settle", "9999d")
    assert ended.code == 1
    assert told(ended.err)["calls"].startswith("no window is sealed yet")
    assert told(ended.err)["result"] == "nothing could be checked"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes of files")
def test_the_report_names_what_differs_without_its_values(nxcdr: Any, store: Path, gateway: Gateway) -> None:
    other = gateway.call_ids()[11]
    change(store, f"UPDATE calls SET caller = 'tampered' WHERE call_id = '{other}'")
    assert nxcdr(*VERIFY, "--seed", "7", "--report", "r.json").code == 1
    path = nxcdr.folder / "r.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"tampered" not in path.read_bytes()
    report = msgspec.json.decode(path.read_bytes())
    (source,) = report["sources"]
    assert (report["outcome"], report["seed"], source["different"]) == ("differences", 7, 1)
    (example,) = source["examples"]
    assert (example["key"], example["column"]) == (other, "caller")
    assert set(example) == {"kind", "key", "time", "column"}


RANGE = ("--start", "2026-01-01", "--end", "2026-01-03")


def test_totals_are_shown_beside_those_of_the_gateway(nxcdr: Any, store: Path, gateway: Gateway) -> None:
    lost, other = gateway.call_ids()[10:12]
    change(store, f"DELETE FROM calls WHERE call_id = '{lost}'")
    before = change(store, f"SELECT caller FROM calls WHERE call_id = '{other}'")[0][0]
    change(store, f"UPDATE calls SET caller = 'tampered' WHERE call_id = '{other}'")
    ended = nxcdr(*VERIFY, *RANGE, "--totals", "--report", "r.json")
    assert ended.code == 1
    assert f"is stored with caller tampered, the gateway tells {before}" in ended.err
    lines = {line.split()[0]: line for line in ended.err.splitlines()}
    days = [len(gateway.call_ids(moment, moment + timedelta(days=1))) for moment in DAYS]
    assert lines["2026-01-01"].split()[1:3] == [f"{days[0] - 1}", f"{days[0]}"]
    assert lines["2026-01-01"].endswith(" differs")
    assert lines["2026-01-02"].split()[1:3] == [f"{days[1]}"] * 2
    assert not lines["2026-01-02"].endswith("differs")
    assert lines["all"].split()[2:4] == ["699", "700"]
    assert max(map(len, (line for line in lines.values() if line.startswith("2026")))) <= 88
    (source,) = msgspec.json.decode((nxcdr.folder / "r.json").read_bytes())["sources"]
    assert [day["day"] for day in source["days"]] == ["2026-01-01", "2026-01-02"]
    assert source["days"][0]["found"]["rows"] == days[0]
    assert {example["stored"] for example in source["examples"]} == {None, "tampered"}


def test_a_range_is_compared_alone(nxcdr: Any, store: Path, gateway: Gateway) -> None:
    change(store, f"DELETE FROM calls WHERE call_id = '{gateway.call_ids()[10]}'")
    nowhere = nxcdr(*VERIFY, "--start", "2027-01-01", "--end", "2027-01-02")
    assert (nowhere.code, told(nowhere.err)["result"]) == (1, "nothing could be checked")
    values = nxcdr(*VERIFY, *RANGE, "--all", "--values")
    assert values.code == 1
    assert "is not stored" in values.err
    assert "all days" not in values.err


def test_a_report_tells_of_a_run_that_failed(nxcdr: Any, store: Path) -> None:  # noqa: ARG001 - is verified
    ended = nxcdr(*VERIFY, "--report", "-", NXCDR_ACCESS_SECRET="a-wrong-secret")
    assert ended.code == 1
    (report,) = ended.records
    assert (report["outcome"], report["error_class"], report["rows"]) == ("failed", "AuthenticationError", 0)
    assert report["complete_until"] is not None


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify", "--to", "typo.sqlite"), "typo.sqlite holds no calls"),
        ((*VERIFY, "--all", "--sample", "3"), "exclude each other"),
        ((*VERIFY, "--totals", "--sample", "3"), "--sample and --totals exclude each other"),
        ((*VERIFY, "--end", "2026-01-01"), "from when on?"),
        ((*VERIFY, "--start", "2026-01-02", "--end", "2026-01-01"), "must be after start"),
        ((*VERIFY, "--totals", "--tz", "Mars"), "--tz 'Mars' is no time zone"),
        ((*VERIFY, "--sample", "0"), "--sample"),
        ((*VERIFY, "--source", "sms"), "--source"),
        ((*VERIFY, "--source", "did"), "holds no did_calls"),
        (("verify", "--to", "postgresql://me:hidden@host/db"), "--to holds a password"),
        (("verify",), "--to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_ends_with_code_2(nxcdr: Any, store: Path, words: tuple[str, ...], said: str) -> None:  # noqa: ARG001 - is verified
    ended = nxcdr(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "hidden" not in ended.err


def test_without_keys_for_a_source_it_says_which(nxcdr: Any, store: Path) -> None:  # noqa: ARG001 - is verified
    ended = nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")(*VERIFY)
    assert ended.code == 2
    assert "calls of c.sqlite cannot be asked for again" in ended.err
