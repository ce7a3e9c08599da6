"""The file with the ledger of a folder: lines, each added whole, and what they come to for each table."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from attrs import define, field

from nxcdr_async.sinks.files import append_to_file, replace_file
from nxcdr_async.sinks.folder.table_ledger import LedgerLine, TableLedger

LEDGER_NAME = "_ledger.ndjson"
"""The file: no pattern that reads the records takes it for one of theirs."""

LINES_AN_ENTRY = 4
"""Lines for each entry, on average, from which on the file is written anew."""

LINES_TO_SPARE = 1_000
"""Lines that are not worth writing the file anew."""


@define(eq=False)
class FolderLedger:
    """The file with the ledger of a folder, as it is on the disk and in memory.

    Attributes:
        path: the file.
        tables: what it says, by the names of the tables.
    """

    path: Path
    tables: dict[str, TableLedger] = field(factory=dict, init=False)
    _needs_rewrite: bool = field(default=False, init=False)
    # Whether it has lines that later ones have made void, or a torn one.
    _is_wasteful: bool = field(default=False, init=False)

    def of(self, table: str) -> TableLedger:
        """Return what it says of a table: nothing, if that is not there."""
        return self.tables.get(table, TableLedger())

    def read(self) -> bool:
        """Read it, and write it anew where that is worthwhile; return whether it was there and could be read.

        Raises:
            OSError: it is there, and cannot be read or mended.
        """
        is_there = self.look()
        if self._is_wasteful:
            self.rewrite()
        return is_there

    def look(self) -> bool:
        """Read it, and change nothing; return whether it was there and could be read.

        A last line that was not written to its end is as good as not written. Of one that cannot be read, what its
        other lines say of origins, of runs and of rows removed on purpose is kept.

        Raises:
            OSError: it is there, and cannot be read.
        """
        self.tables, self._is_wasteful, whole = {}, False, b""
        try:
            whole, _, torn = self.path.read_bytes().rpartition(b"\n")
            lines = [_decode(line) for line in whole.splitlines()]
            self._apply(lines)
        except (FileNotFoundError, msgspec.MsgspecError, KeyError):
            self.tables = {}
            self._apply(_without_windows(whole.splitlines()))
            return False
        entries = sum(len(ledger.windows) for ledger in self.tables.values())
        self._is_wasteful = bool(torn) or len(lines) > LINES_TO_SPARE + LINES_AN_ENTRY * entries
        return bool(lines)

    def make_anew(self, tables: dict[str, TableLedger]) -> None:
        """Take what it should say; it is written with the first line that is added."""
        self.tables, self._needs_rewrite = tables, True

    def append(self, line: LedgerLine) -> None:
        """Add a line: from then on it counts."""
        if self._needs_rewrite:
            self.rewrite()
        append_to_file(self.path, _encode(line) + b"\n")
        self._apply([line])

    def rewrite(self) -> None:
        """Write the file anew, without lines that later ones have made void."""
        replace_file(self.path, self._chunks(), self.path.parent)
        self._needs_rewrite = False

    def _chunks(self) -> Iterator[bytes]:
        for table, ledger in self.tables.items():
            for line in ledger.lines(table):
                yield _encode(line) + b"\n"

    def _apply(self, lines: Iterable[LedgerLine]) -> None:
        for line in lines:
            self.tables.setdefault(line.table, TableLedger()).apply(line)


def _without_windows(lines: Iterable[bytes]) -> Iterator[LedgerLine]:
    """Yield what lines that can be read say of a table as a whole."""
    for line in lines:
        try:
            read = _decode(line)
        except msgspec.MsgspecError:
            continue
        yield LedgerLine(read.table, origin=read.origin, pruned_before=read.pruned_before, run=read.run)


_decode = msgspec.json.Decoder(LedgerLine).decode
_encode = msgspec.json.Encoder().encode
