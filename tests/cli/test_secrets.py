"""What a thief could see of a command: its words, its processes, its terminal, its crashes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from nxcdr_async.config import SECRET_VARIABLES

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc, and needs terminals")

DAY = ("--start", "2026-01-01", "--end", "2026-01-02")
TYPED = "a-secret-typed-by-hand"
OF_A_PROXY = "pa5sw0rd-of-a-proxy"
NASTY = "\x1b[2J\x1b]0;title\x07\x9b31m\x7f\u202e[red][link=https://evil.example]\r\n"


class _Echo(BaseHTTPRequestHandler):
    """A gateway that says back all it was told, and things terminals obey."""

    def do_GET(self) -> None:
        self._refuse("")

    def do_POST(self) -> None:
        self._refuse(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _refuse(self, body: str) -> None:
        told = f"{NASTY} {self.path} {self.headers} {body} {self.secrets}"
        # The first time worth another try, which is logged.
        reply = msgspec.json.encode({"code": next(self.codes, 1003), "msg": told, "reqId": told})
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_words: object) -> None:
        pass

    secrets = ""
    codes: Iterator[int]


@contextmanager
def echoing(secrets: list[str]) -> Iterator[str]:
    handler = type("Echo", (_Echo,), {"secrets": " ".join(secrets), "codes": iter([88])})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


ARGUMENTS = [
    ("calls", *DAY, "--access-secret", TYPED),
    ("calls", *DAY, f"--access-secret={TYPED}"),
    ("calls", *DAY, f"-S{TYPED}"),
    ("flash", *DAY, "--secretkey", TYPED),
    ("flash", f"--secretkey={TYPED}", *DAY),
    ("--access-secret", TYPED, "calls", *DAY),
    ("order", "1", "--tenant", "1", "--secret", TYPED),
    ("doctor", "--access-secret", TYPED),
    ("doctor", "--gateway", f"https://user:{TYPED}@gateway.example"),
    ("emulator", "--access-secret", TYPED),
]


def test_a_secret_among_the_arguments_is_refused_and_not_repeated(nxcdr: Any) -> None:
    for ended in nxcdr.each(ARGUMENTS[:-2] + ARGUMENTS[-1:]):
        assert ended.code == 2
        assert "no such option" in ended.err
        assert TYPED not in ended.out + ended.err
    (doctor,) = nxcdr.each(ARGUMENTS[-2:-1])
    assert TYPED not in doctor.out + doctor.err


@pytest.mark.first_of
@pytest.mark.parametrize(
    "url", ["http://gateway.example", "http://127.0.0.1@evil.example", "http://127.0.0.1.evil.example"]
)
def test_plain_http_is_refused_wherever_the_gateway_is_named(nxcdr: Any, url: str) -> None:
    for ended in (nxcdr("calls", *DAY, "--gateway", url), nxcdr("calls", *DAY, NXCDR_GATEWAY=url)):
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("error: gateway ")


@on_linux
def test_neither_words_nor_title_nor_environment_of_a_child_hold_a_secret(nxcdr: Any) -> None:
    with subprocess.Popen(
        nxcdr.command("demo", "--calls", "30000", "--live", "0"),
        env={**nxcdr.environment, "https_proxy": f"http://clerk:{OF_A_PROXY}@proxy.example"},
        cwd=nxcdr.folder,
        stderr=subprocess.PIPE,
    ) as process:
        process.stderr.readline()
        process.stderr.readline()
        children = [
            Path("/proc", number)
            for thread in Path(f"/proc/{process.pid}/task").iterdir()
            for number in (thread / "children").read_text().split()
        ]
        seen = [(child / name).read_bytes() for child in children for name in ("cmdline", "comm", "environ")]
        seen += [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "comm")]
        process.kill()
    assert len(children) == 1
    assert b"emulator" in seen[0]
    assert not [text for text in seen for secret in [*nxcdr.secrets, OF_A_PROXY] if secret.encode() in text]


@pytest.mark.first_of
@on_linux
@pytest.mark.parametrize(("command", "secret_asked"), [("calls", b"secret: "), ("flash", b"secretkey: ")])
def test_a_secret_that_is_typed_is_not_shown(nxcdr: Any, command: str, secret_asked: bytes) -> None:
    bare = nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET", "NXCDR_FLASH_APPKEY", "NXCDR_FLASH_SECRETKEY")
    terminal, end = os.openpty()
    with subprocess.Popen(
        bare.command(command, *DAY), env=bare.environment, stdin=end, stdout=end, stderr=end, start_new_session=True
    ) as process:
        os.close(end)
        told = _read_until(terminal, b"key: ")
        os.write(terminal, b"key-typed-by-hand\n")
        told += _read_until(terminal, secret_asked)
        os.write(terminal, f"{TYPED}\n".encode())
        told += _read_until(terminal, None)
        os.close(terminal)
    assert process.returncode == 1
    assert b"key-typed-by-hand" in told, "the terminal does not echo at all"
    assert TYPED.encode() not in told


def _read_until(terminal: int, end: bytes | None) -> bytes:
    told = b""
    while end is None or not told.endswith(end):
        try:
            more = os.read(terminal, 1024)
        except OSError:  # Linux tells so that nobody has the other end any more
            return told
        told += more
    return told


@pytest.mark.first_of
@pytest.mark.parametrize("command", [("calls", *DAY), ("flash", *DAY), ("order", "1", "--tenant", "1"), ("doctor",)])
def test_what_a_gateway_says_neither_steers_the_terminal_nor_shows_a_secret(nxcdr: Any, command: Any) -> None:
    known = [nxcdr.variables[name] for name in SECRET_VARIABLES if name in nxcdr.variables]
    with echoing(known) as url:
        ended = nxcdr(*command, "--timeout", "5", NXCDR_GATEWAY=url, NXCDR_LOG="debug")
    shown = ended.out + ended.err
    assert ended.code == 1
    assert "[link=https://evil.example]" in shown
    assert " nxcdr_async DEBUG " in ended.err
    assert not [one for one in shown if not one.isprintable() and one != "\n"]


def test_a_crash_shows_where_it_was_only_when_asked_and_never_a_secret(nxcdr: Any) -> None:
    code = (
        "import sys\n"
        "from nxcdr_async.cli import main, streaming\n"
        "def crash(arguments, *_words):\n"
        "    import logging, os\n"
        "    logging.getLogger('nxcdr_async').info('begun \x1b[31m')\n"
        "    kept = os.environ['NXCDR_ACCESS_SECRET']\n"
        "    password = os.environ['HTTPS_PROXY'].split(':')[2].split('@')[0]\n"
        "    raise RuntimeError(f'https://gateway.example/?secretkey={kept}{password}\\x1b[31m')\n"
        "streaming.write_pages = crash\n"
        f"sys.argv = ['nxcdr', 'calls', *{DAY!r}]\n"
        "main()"
    )
    for level, is_told in (("", False), ("info", False), ("debug", True)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**nxcdr.environment, "NXCDR_LOG": level, "HTTPS_PROXY": f"http://clerk:{OF_A_PROXY}@127.0.0.1:9"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "an unexpected RuntimeError" in done.stderr
        assert ("in crash" in done.stderr) is is_told
        assert ("begun" in done.stderr) is (level != "")
        assert not [secret for secret in nxcdr.secrets if secret in done.stderr]
        assert OF_A_PROXY not in done.stderr
        assert "\x1b" not in done.stderr
