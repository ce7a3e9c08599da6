"""What each command says of itself: as text, as `python -OO` has no docstrings."""

HELP = {
    "nxcdr": """
Call detail records of the NXLink / NXCloud call center, read concurrently and proven complete.

No account yet? Try: nxcdr demo

With one, set NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET (NXCDR_REGION if it is not hk), then: nxcdr doctor

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with known gaps, 75 the store is
in use by another run (try again later), 130 stopped.
""",
    "demo": """
See it work without an account: a month of made-up calls.

Starts an emulator of the gateway, reads all its calls into a DuckDB file, and shows what is in it.
""",
    "calls": """
Write call-center calls as JSON lines.

They come sorted by start time, each once; times are UTC, money is exact text. Ends with code 3 at a second that
holds more calls than the gateway shows.
""",
    "did": """
Write calls over DID numbers as JSON lines.

The vendor keeps them by whole days of its local time (UTC+8); the last day is read too.
""",
    "flash": """
Write flash calls as JSON lines.

Ends with code 3 at a second that holds more calls than the vendor's list can tell.
""",
    "order": "Write the calls of one order as JSON lines.",
    "plan": "Estimate rows, requests, time and disk from a few samples.",
    "backfill": """
Fill a store with the records of a range.

It may be killed at any moment: the same command goes on where it was, and every row is there once. Ends with code
3 if something is known to be missing.
""",
    "sync": """
Bring a store up to the present.

Reads again where late rows may have turned up, fills holes and goes on to now. Run it every hour or day.
""",
    "verify": """
Compare a store with what the gateway tells now.

It reads sealed windows again: those in which no late rows are to be expected. Ends with code 1 if differences are
left, or nothing could be compared, and with code 3 if something is known to be missing.
""",
    "prune": """
Remove old rows from a store, for good.

The store notes that, so that nothing brings them back, and stays as complete as it was. If it is cut short, the
same command finishes it.
""",
    "doctor": "Check settings, line, credentials and clock, and say what to do.",
    "emulator": """
Run an emulator of the vendor's gateway.

It serves on this machine only, for trying things out without an account. Its first line on stdout is JSON
with its address and its keys, which are made up. It runs until SIGINT or SIGTERM.
""",
}
"""By the names of the commands; "nxcdr" of them all."""
