"""Reports of runs that did not come to their end, and what becomes of those of earlier runs."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import evolve

from nxcdr_async import BackfillProgress, BusyError, NxcdrError, SinkError
from nxcdr_async.cli.commands.verify import note_how_far
from nxcdr_async.cli.report import RunReport
from nxcdr_async.records.models import SourceName

COMPLETE = datetime(2026, 1, 2, tzinfo=UTC)


def progress_of(
    source: SourceName = "calls", rows: int = 0, complete_until: datetime | None = COMPLETE
) -> BackfillProgress:
    return BackfillProgress(
        source=source,
        windows=1,
        windows_expected=2,
        share=0.5,
        rows=rows,
        rows_read=rows,
        seconds=1.0,
        rows_per_second=1.0,
        seconds_left=1.0,
        requests=3,
        in_flight=1,
        limit=4,
        throttled=0,
        retries=0,
        reached=None,
        complete_until=complete_until,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.fixture
def report(path: Path, tmp_path: Path) -> RunReport:
    return RunReport.checked(str(path), str(tmp_path / "calls.sqlite"), "calls")


def read(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


@pytest.mark.parametrize(
    ("ended", "outcome", "error", "error_class"),
    [
        (SinkError("no answer"), "failed", "no answer", "SinkError"),
        (KeyboardInterrupt(), "stopped", None, None),
    ],
)
def test_a_report_says_how_a_run_ended(
    path: Path, report: RunReport, ended: BaseException, outcome: str, error: str | None, error_class: str | None
) -> None:
    report.fail(ended)
    told = read(path)
    assert (told["outcome"], told["error"], told["error_class"]) == (outcome, error, error_class)
    assert (told["source"], told["rows"], told["complete_until"]) == ("calls", 0, None)


def test_a_failed_run_tells_what_is_known(path: Path, report: RunReport) -> None:
    before = datetime.now(UTC)
    report.update(progress_of(rows=7))
    report.fail(NxcdrError("no answer"))
    told = read(path)
    assert (told["rows"], told["windows"], told["requests"]) == (7, 1, 3)
    assert datetime.fromisoformat(told["complete_until"]) == COMPLETE
    started, finished = (datetime.fromisoformat(told[name]) for name in ("started", "finished"))
    assert report.started == started <= before <= finished


def test_of_several_sources_it_tells_what_holds_for_all(path: Path, report: RunReport) -> None:
    earlier = COMPLETE.replace(day=1)
    report.update(progress_of("calls", rows=7))
    report.update(progress_of("did", rows=5, complete_until=earlier))
    report.fail(NxcdrError("no answer"))
    told = read(path)
    assert (told["rows"], datetime.fromisoformat(told["complete_until"])) == (12, earlier)
    report.update(progress_of("flash", complete_until=None))
    report.fail(NxcdrError("no answer"))
    assert read(path)["complete_until"] is None


@pytest.mark.parametrize("ended", [BusyError("in use"), NxcdrError("no keys"), KeyboardInterrupt()])
def test_a_run_that_never_held_the_store_leaves_an_earlier_report(
    path: Path, tmp_path: Path, ended: BaseException
) -> None:
    path.write_text("of an earlier run")
    RunReport.checked(str(path), str(tmp_path / "calls.sqlite"), "calls").fail(ended)
    assert path.read_text() == "of an earlier run"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_that_finds_the_store_in_use_leaves_the_place_of_its_report_free(path: Path, report: RunReport) -> None:
    report.fail(BusyError("in use"))
    assert not path.exists()


def test_an_earlier_report_is_gone_once_a_run_has_hold_of_the_store(path: Path, report: RunReport) -> None:
    path.write_text("of an earlier run")
    report.update(progress_of())
    assert not path.exists()
    report.end("done", {"rows": 3})
    report.update(progress_of())
    assert read(path) == {"outcome": "done", "error": None, "error_class": None, "rows": 3}


def test_a_busy_store_is_told_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    RunReport.checked("-", "calls.sqlite", "calls").fail(BusyError("in use"))
    told = msgspec.json.decode(capfd.readouterr().out)
    assert (told["outcome"], told["error_class"]) == ("failed", "BusyError")


def test_a_report_that_cannot_be_written_is_noted_on_the_error_it_should_tell(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    report = RunReport.checked(str(folder / "report.json"), str(tmp_path / "calls.sqlite"), "calls")
    folder.rmdir()
    ended = NxcdrError("no answer")
    report.fail(ended)
    (note,) = ended.__notes__
    assert note.startswith("cannot write the report ")


def test_a_verification_that_is_stopped_says_up_to_when_it_compared(report: RunReport) -> None:
    stop = KeyboardInterrupt()
    note_how_far(stop, report, UTC, fix=False)
    report.update(evolve(progress_of(), reached=COMPLETE))
    note_how_far(stop, report, timezone(timedelta(hours=8)), fix=True)
    assert stop.__notes__ == [
        "nothing was compared",
        "1 window of calls up to 2026-01-02T08:00:00+08:00 compared, and what was mended by then is stored",
    ]
