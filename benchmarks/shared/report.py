"""How results are shown: a table for people, then one line of JSON for machines, and the exit code."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.limits import Limit, missed

Rows = Sequence[Mapping[str, Any]]


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark understands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON to this file too")
    return parser


def table(rows: Rows) -> str:
    """Return rows as aligned columns: text to the left, numbers to the right."""
    names = list(rows[0])
    cells = [names, *([_text(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    numbers = [not isinstance(rows[0][name], str) for name in names]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    )


def markdown(rows: Rows) -> str:
    """Return rows as a table in Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([_text(row[name]) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def finish(
    name: str, rows: Rows, figures: Mapping[str, float], limits: Sequence[Limit], json_file: Path | None = None
) -> int:
    """Print what was found and what was missed, the line of JSON last; return the exit code."""
    missing = missed(figures, limits)
    print()
    print(table([_verdict(limit, figures) for limit in limits]))
    sys.stdout.flush()
    for line in missing:
        print(f"MISSED: {line}", file=sys.stderr, flush=True)
    result = {
        "benchmark": name,
        "passed": not missing,
        "missed": missing,
        "figures": {key: round(value, 4) for key, value in figures.items()},
        "rows": [
            {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()} for row in rows
        ],
    }
    text = json.dumps(result)
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if missing else 0


def _verdict(limit: Limit, figures: Mapping[str, float]) -> dict[str, Any]:
    return {
        "limit": limit.figure,
        "figure": figures.get(limit.figure, float("nan")),
        "at most": limit.most,
        "verdict": "met" if limit.is_met(figures) else "MISSED",
    }


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
