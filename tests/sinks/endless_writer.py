"""A program that stores one window after the other until it is killed, and prints a line once each is stored."""

import sys
from itertools import count

from nxcdr_async.records.arrow import CALLS
from nxcdr_async.sinks.ledger import Ledger, LedgerEntry
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window
from tests.sinks.all_sinks import opened
from tests.sinks.table_rows import plain_rows

BEGIN = 1_767_225_600
HOUR = 3600
ROWS_A_WINDOW = 500


def write_for_ever(to: str) -> None:
    ledger = Ledger([])
    with opened(to) as sink:
        sink.create(CALLS, Origin("account", "UTC"))
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        for number in count():
            start = BEGIN + number * HOUR
            entry = LedgerEntry(Window(start, start + HOUR), read_at=start + HOUR, rows=ROWS_A_WINDOW)
            sink.write(CALLS, plain_rows(CALLS, start, ROWS_A_WINDOW), ledger.record(entry, settle=0))
            print(number, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    write_for_ever(sys.argv[1])
