"""Reports of runs that did not come to their end."""

from pathlib import Path

import msgspec
import pytest

from nxcdr_async import NxcdrError
from nxcdr_async.cli.report import ReportPlace, report_failure


@pytest.mark.parametrize(
    ("ended", "outcome", "error"),
    [(NxcdrError("no answer"), "failed", "no answer"), (KeyboardInterrupt(), "stopped", None)],
)
def test_a_report_says_how_a_run_ended(tmp_path: Path, ended: BaseException, outcome: str, error: str | None) -> None:
    path = tmp_path / "report.json"
    report_failure(ReportPlace(path), ended, "calls", None)
    report = msgspec.json.decode(path.read_bytes())
    assert (report["outcome"], report["error"], report["source"], report["rows"]) == (outcome, error, "calls", None)


def test_a_report_that_cannot_be_written_is_noted_on_the_error_it_should_tell(tmp_path: Path) -> None:
    ended = NxcdrError("no answer")
    report_failure(ReportPlace(tmp_path / "gone" / "report.json"), ended, "calls", None)
    (note,) = ended.__notes__
    assert note.startswith("cannot write the report ")
