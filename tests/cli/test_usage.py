import re
import socketserver
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import Any

import pytest

from nxcdr_async.testing import Gateway

DAY = ("--start", "2026-01-01", "--end", "2026-01-02")
GATEWAY = ["--region", "--gateway", "--concurrency", "--rate", "--timeout"]
FOLLOW = ["--follow", "--since", "--every", "--position"]
STORE = ["--new-key", "--new-gateway", "--report", "--quiet", "--log"]
OPTIONS = {
    "demo": ["--days", "--calls", "--to", "--seed", "--force", "--live"],
    "calls": [
        *("--start", "--end", "--last", "--direction", "--answered", "--agent", "--caller", "--callee", "--call-id"),
        *("--order-id", "--skip-bad-rows", *FOLLOW, *GATEWAY, "--max-span", "--tz"),
    ],
    "did": [
        *("--start", "--end", "--last", "--did-number", "--call-number", "--direction", "--skip-bad-rows"),
        *(*FOLLOW, *GATEWAY),
    ],
    "flash": ["--start", "--end", "--last", "--skip-bad-rows", *FOLLOW, *GATEWAY, "--max-span", "--tz"],
    "flash-call": GATEWAY,
    "order": ["--tenant", "--skip-bad-rows", *GATEWAY],
    "plan": ["--start", "--end", "--last", "--to", "--json", *GATEWAY, "--max-span", "--tz"],
    "backfill": [
        *("--start", "--end", "--last", "--to", "--settle", "--skip-bad-rows", *STORE, *GATEWAY, "--max-span", "--tz"),
    ],
    "sync": [
        *("--to", "--since", "--every", "--metrics-port", "--metrics-host", "--settle", "--skip-bad-rows", *STORE),
        *(*GATEWAY, "--max-span", "--tz"),
    ],
    "status": ["--to", "--json", "--tz"],
    "verify": [
        *("--to", "--source", "--sample", "--all", "--seed", "--start", "--end", "--last", "--totals", "--values"),
        *("--fix", "--settle", *STORE, "--skip-bad-rows", *GATEWAY, "--max-span", "--tz"),
    ],
    "prune": ["--to", "--before", "--dry-run", "--tz"],
    "doctor": GATEWAY,
    "emulator": [
        *("--port", "--calls", "--days", "--first-day", "--live", "--calls-per-minute", "--seed", "--agents"),
        *("--did-calls", "--flash-calls"),
        *("--latency", "--max-in-flight", "--max-per-second", "--retry-after", "--fault-rate", "--order"),
        *("--publish-delay", "--price-delay", "--record-url-delay", "--depth-cap", "--max-span", "--retention"),
        *("--recordings", "--language", "--while-stdin-open"),
    ],
}
"""Of each command, in the order in which its help lists them."""


def test_each_command_has_help_and_its_options(nxcdr: Any) -> None:
    for command, ended in zip(OPTIONS, nxcdr.each([(command, "--help") for command in OPTIONS]), strict=True):
        assert ended.code == 0
        assert ended.out.startswith(f"Usage: nxcdr {command} ")
        assert max(map(len, ended.out.splitlines())) <= 80
        listed = re.findall(r"^  (--[a-z-]+)", ended.out, flags=re.MULTILINE)
        assert (command, listed) == (command, OPTIONS[command])


def test_help_names_every_command_and_fits_a_terminal(nxcdr: Any) -> None:
    ended = nxcdr("--help")
    assert ended.code == 0
    listed = re.findall(r"^  ([\w-]+)  +\w", ended.out.partition("Commands:")[2], flags=re.MULTILINE)
    assert listed == list(OPTIONS)
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "..." not in ended.out.partition("Commands:")[2]


def imported(nxcdr: Any, *words: str) -> set[str]:
    """Return the modules that a run imports beyond those of the package itself, which are not its doing."""
    code = (
        "import sys, nxcdr_async; before = set(sys.modules)\n"
        "from nxcdr_async.cli import main\n"
        f"sys.argv = ['nxcdr', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=nxcdr.environment, capture_output=True, check=True)
    return set(done.stderr.decode().split())


def test_help_imports_nothing_heavy_of_its_own(nxcdr: Any) -> None:
    names = imported(nxcdr, "--help")
    heavy = {"aiohttp", "anyio", "attr", "cattrs", "duckdb", "msgspec", "pyarrow", "rich", "zoneinfo"}
    assert not heavy & {name.split(".")[0] for name in names}
    assert not [name for name in names if name.startswith("nxcdr_async.cli.commands")]


def test_a_command_imports_no_other_and_only_what_it_needs(nxcdr: Any) -> None:
    names = imported(nxcdr, "flash", "--help")
    commands = {name for name in names if name.startswith("nxcdr_async.cli.commands.")}
    assert commands == {"nxcdr_async.cli.commands.flash"}
    assert not {"aiohttp", "duckdb", "pyarrow", "rich"} & {name.split(".")[0] for name in names}


def test_without_typer_it_says_what_to_install(nxcdr: Any) -> None:
    code = (
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name in {'typer', 'rich'} else find(name, *more)\n"
        "from nxcdr_async.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=nxcdr.environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr == b"error: nxcdr needs typer and rich: install the package with its extra cli\n"


def test_without_the_packages_of_stores_the_demo_says_what_to_install(nxcdr: Any) -> None:
    code = (
        "import importlib.util as util, sys\n"
        "gone = {'duckdb', 'filelock', 'pyarrow'}\n"
        "sys.modules |= dict.fromkeys(gone)\n"  # what is None there cannot be imported
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name in gone else find(name, *more)\n"
        "sys.argv = ['nxcdr', 'demo']\n"
        "from nxcdr_async.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=nxcdr.environment, capture_output=True, check=False)
    assert done.returncode == 2
    told = b"error: the demo needs duckdb and pyarrow and filelock: install the package with its extra duckdb\n"
    assert done.stderr == told


WRONG = [
    (("calls", "--start", "2026-01-02", "--end", "2026-01-01"), "must be after start"),
    (("calls", "--start", "soon", "--end", "2026-01-01"), "--start 'soon' is no time: write today, yesterday, now or"),
    (("calls",), "from when on? Give --start or --last"),
    (("calls", "--last", "7d", "--start", "today"), "--start and --last exclude each other"),
    (("calls", "--last", "soon"), "--last 'soon' is no duration"),
    (("calls", "--last", "0h"), "--last '0h' is no time at all"),
    (("did", "--last", "36h"), "--last '36h' is not whole days"),
    (("sync", "calls", "--to", "c.sqlite", "--tz", "Mars/Olympus"), "--tz 'Mars/Olympus' is no time zone"),
    (("did", "--start", "2026-01-01T00:00"), "--start '2026-01-01T00:00' is no day"),
    (("did", "--start", "2026-01-02", "--end", "2026-01-01"), "must not be before"),
    (("calls", *DAY, "--tz", "Mars/Olympus"), "--tz 'Mars/Olympus' is no time zone"),
    (
        ("calls", "--start", "2026-03-08T02:30", "--end", "2026-04-01", "--tz", "America/New_York"),
        "--start '2026-03-08T02:30' never comes in America/New_York",
    ),
    (
        ("calls", "--start", "2026-04-01", "--end", "2026-11-01T01:30", "--tz", "America/New_York"),
        "as in 2026-11-01T01:30:00-04:00 or 2026-11-01T01:30:00-05:00",
    ),
    (
        ("prune", "--to", "c.sqlite", "--before", "2026-11-01T01:30", "--tz", "America/New_York"),
        "--before '2026-11-01T01:30' comes twice in America/New_York",
    ),
    (("calls", *DAY, "--region", "mars"), "unknown region 'mars'"),
    (("calls", *DAY, "--gateway", "http://gateway.example"), "must be https"),
    (("calls", *DAY, "--rate", "0"), "rate is 0"),
    (("calls", *DAY, "--direction", "up"), "inbound"),
    (("calls", *DAY, "--concurrency", "0"), "--concurrency"),
    (("order", "NXO1"), "--tenant"),
    (("sync", "calls", "--to", "c.sqlite", "--every", "5"), "--every '5' has no unit: write 5m for minutes"),
    (("sync", "calls", "--to", "c.sqlite", "--every", "0s"), "--every '0s' is too short"),
    (("sync", "calls", "--to", "c.sqlite", "--every", "soon"), "--every 'soon' is no duration"),
    (("sync", "calls", "--to", "c.sqlite", "--metrics-port", "9464"), "give --every too"),
    (("sync", "calls", "--to", "c.sqlite", "--every", "5m", "--metrics-host", "::1"), "give --metrics-port too"),
    (("sync", "--to", "c.sqlite", "--since", "2026-01-01"), "name it, as in nxcdr sync calls --since"),
    (("sync", "calls", "--to", "c.sqlite", "--since", "noon"), "--since 'noon' is no time"),
    (("sync", "calls", "--to", "c.sqlite", "--log", "xml"), "--log"),
    (("demo", "--to", "no-such-folder/calls.duckdb"), "there is no folder no-such-folder"),
    (("demo", "--to", "."), "is a folder"),
]


def test_wrong_usage_is_told_in_a_line(nxcdr: Any) -> None:
    for (_, told), ended in zip(WRONG, nxcdr.each([words for words, _ in WRONG]), strict=True):
        assert (ended.code, ended.out) == (2, "")
        first, *rest = ended.err.splitlines()
        assert first.startswith("error: ")
        assert told in first
        assert all(line.startswith("  ") for line in rest)


SPELLED = [
    (("order", "NXO1"), "error: missing option '--tenant'"),
    (("callz",), "error: no such command 'callz'"),
    (("calls", "--rate"), "error: option '--rate' requires an argument"),
    (("calls", *DAY, "--concurrency", "x"), "error: invalid value for '--concurrency': it is no whole number"),
    (("calls", *DAY, "--concurrency", "0"), "error: invalid value for '--concurrency': it must be 1 or more"),
    (("calls", *DAY, "--rate", "x"), "error: invalid value for '--rate': it is no number"),
    (("calls", *DAY, "--direction", "up"), "error: invalid value for '--direction': 'up' is not one of 'inbound'"),
    (("emulator", "--fault-rate", "2"), "error: invalid value for '--fault-rate': it must be 1 or less"),
]


def test_wrong_usage_is_spelled_as_any_other_error(nxcdr: Any) -> None:
    for (_, told), ended in zip(SPELLED, nxcdr.each([words for words, _ in SPELLED]), strict=True):
        assert (ended.code, ended.out) == (2, "")
        first, where = ended.err.splitlines()
        assert first.startswith(told)
        assert where.startswith("  nxcdr")
        assert where.endswith(" --help tells how it is used")


def test_without_a_command_it_shows_its_help(nxcdr: Any) -> None:
    (ended,) = nxcdr.each([()])
    assert "Commands:" in ended.out + ended.err
    assert "error" not in ended.err


CRASH = """
import sys
from nxcdr_async.cli import main, streaming
def crash(arguments, *_words):
    raise {}
streaming.write_pages = crash
sys.argv = ["nxcdr", "calls", "--start", "2026-01-01", "--end", "2026-01-02"]
main()
"""


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("error", "told"),
    [
        ('RuntimeError("can\'t start new thread")', "the system refuses: can't start new thread"),
        ("ImportError('it is built for another machine')", "the system refuses: it is built for another machine"),
        ("MemoryError()", "the system refuses: no memory is left"),
        ("OSError(24, 'Too many open files', 'a-wrong-secret')", "the system refuses: [Errno 24] Too many open files"),
        ("RuntimeError('private')", "an unexpected RuntimeError: please report it"),
    ],
)
def test_a_want_of_the_machine_is_told_in_its_own_words(nxcdr: Any, error: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH.format(error)],
        env={**nxcdr.environment, "NXCDR_ACCESS_SECRET": "a-wrong-secret"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {told}")
    assert done.stderr.count("\n") == 1
    assert "private" not in done.stderr.partition("(")[0]
    assert "a-wrong-secret" not in done.stderr


def test_who_outlives_its_terminal_goes_on(nxcdr: Any) -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"  # as nohup does
    code += CRASH.format("SystemExit(repr(__import__('signal').getsignal(1)))")
    done = subprocess.run([sys.executable, "-c", code], env=nxcdr.environment, capture_output=True, check=False)
    assert b"SIG_IGN" in done.stderr


def test_what_the_system_refuses_is_told_in_a_line(nxcdr: Any) -> None:
    ended = nxcdr("emulator", SSLKEYLOGFILE="no-such-folder/keys")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: the system refuses: ")
    assert ended.err.count("\n") == 1
    assert "'no-such-folder/keys'" in ended.err


def test_missing_credentials(nxcdr: Any) -> None:
    ended = nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")("calls", *DAY)
    assert ended.code == 2
    assert ended.err == "error: no credentials: set NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET in the environment\n"
    ended = nxcdr.without("NXCDR_ACCESS_KEY")("calls", *DAY)
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_refused_credentials(nxcdr: Any, gateway: Gateway) -> None:
    wrong = nxcdr("calls", *DAY, NXCDR_ACCESS_SECRET="a-wrong-secret")
    assert (wrong.code, wrong.out) == (1, "")
    assert "code 1003" in wrong.err.splitlines()[0]
    pair = gateway.credentials_without_rights
    powerless = nxcdr("calls", *DAY, NXCDR_ACCESS_KEY=pair.access_key, NXCDR_ACCESS_SECRET=pair.access_secret)
    assert powerless.code == 1
    assert "code 1005" in powerless.err.splitlines()[0]


def test_a_host_nobody_knows(nxcdr: Any) -> None:
    ended = nxcdr("calls", *DAY, "--gateway", "https://gateway.invalid")
    assert ended.code == 1
    assert ended.err.startswith("error: page 1 of calls ")
    assert ": no whole reply from gateway.invalid: " in ended.err


class _WebPage(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        page = b"<html>\x1b[31mwelcome</html>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_words: object) -> None:
        pass


def test_a_web_site_that_is_no_gateway(nxcdr: Any) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _WebPage) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        ended = nxcdr("calls", *DAY, "--gateway", f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert "no readable answer, but Not Found (HTTP 404)" in ended.err


def test_the_log_is_asked_for_by_a_variable(nxcdr: Any) -> None:
    ended = nxcdr("calls", *DAY, NXCDR_LOG="loud")
    assert (ended.code, ended.err) == (2, "error: NXCDR_LOG is 'loud': set it to debug or info, or not at all\n")
    ended = nxcdr("calls", *DAY, "--gateway", "https://gateway.invalid", NXCDR_LOG="info")
    assert " nxcdr_async INFO " in ended.err
