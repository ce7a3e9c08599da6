from pathlib import Path
from typing import Any

import pytest

DAY = ("--start", "2026-01-01", "--end", "2026-01-02")


@pytest.fixture
def at_home(nxcdr: Any, tmp_path: Path) -> Any:
    (tmp_path / "my home").mkdir()
    nxcdr.variables["HOME"] = str(tmp_path / "my home")
    return nxcdr


@pytest.mark.first_of
@pytest.mark.parametrize("to", ["~/calls.sqlite", "my home/calls.sqlite", "file://{folder}/my%20home/calls.sqlite"])
def test_a_store_and_its_report_lie_where_they_are_meant_to(at_home: Any, to: str, tmp_path: Path) -> None:
    to = to.format(folder=tmp_path)
    report = to.replace("calls.sqlite", "report.json")
    ended = at_home("backfill", "calls", *DAY, f"--to={to}", f"--report={report}")
    assert ended.code == 0, ended.err
    home = {path.name for path in (tmp_path / "my home").iterdir()}
    assert {"calls.sqlite", "report.json"} <= home
    assert {path.name for path in tmp_path.iterdir()} == {"my home"}
    planned = at_home("plan", "calls", *DAY, f"--to={to}")
    assert planned.code == 0, planned.err
    assert "that are free" in planned.out
    assert at_home("prune", f"--to={to}", "--before", "2026-01-01").code == 0


def test_a_report_is_known_to_lie_among_the_rows_however_it_is_written(at_home: Any) -> None:
    ended = at_home("backfill", "calls", *DAY, "--to=~/calls.parquet", "--report=~/calls.parquet/report.json")
    assert ended.code == 2
    assert "lies where the rows go" in ended.err
    missing = at_home("backfill", "calls", *DAY, "--to=~/calls.parquet", "--report=~nobody-of-this-name/report.json")
    assert missing.code == 2
    assert "there is no home ~nobody-of-this-name" in missing.err


def test_a_demo_lies_in_a_home_too(at_home: Any, tmp_path: Path) -> None:
    ended = at_home("demo", "--days", "1", "--calls", "50", "--live", "0", "--to=~/demo.duckdb")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "my home").iterdir()} == {"demo.duckdb"}
    assert {path.name for path in tmp_path.iterdir()} == {"my home"}


def test_names_as_long_as_they_may_be_are_taken_for_reports_and_demos(at_home: Any, tmp_path: Path) -> None:
    report, database = f"{'r' * 250}.json", f"{'d' * 244}.duckdb"
    ended = at_home("backfill", "calls", *DAY, "--to=calls.jsonl", f"--report={report}")
    assert ended.code == 0, ended.err
    assert (tmp_path / report).stat().st_size > 0
    refused = at_home("backfill", "calls", *DAY, "--to=calls.jsonl", f"--report=r{report}")
    assert refused.code == 1
    assert "cannot write the report" in refused.err
    assert "File name too long" in refused.err
    assert at_home("demo", "--days", "1", "--calls", "50", "--live", "0", f"--to={database}").code == 0
    too_long = at_home("demo", "--days", "1", "--calls", "50", "--live", "0", f"--to=d{database}")
    assert too_long.code == 2
    assert "is 1 byte too long, with the file .wal that is kept beside it" in too_long.err
