"""The real command line in processes of its own, against the real emulator."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from attrs import define, evolve, field

from nxcdr_async.testing import Gateway
from tests.cli.warm_process import LONGEST_RUN, WarmProcess

ROOT = Path(__file__).parents[2]


_EACH = """
import contextlib, io, json, sys
from nxcdr_async.cli import main
results = []
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            results.append({"code": ended.code, "out": out.getvalue(), "err": err.getvalue()})
print(json.dumps(results))
"""

READ_AT_START = ("PYTHON", "SSLKEYLOGFILE")
"""How the variables begin that the interpreter or an import reads, which a fork has behind it."""


@define
class Ended:
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


@define
class Nxcdr:
    """Runs `nxcdr` and checks what holds for every run: no traceback, and no secret in any output.

    Attributes:
        flags: of the interpreter.
    """

    folder: Path
    secrets: list[str]
    warm: WarmProcess
    variables: dict[str, str] = field(factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NXCDR_")}
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
        return {**inherited, "PYTHONPATH": path, **self.variables}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, *self.flags, "-m", "nxcdr_async", *words]

    def __call__(self, *words: str, **variables: str) -> Ended:
        environment = {**self.environment, **variables}
        if self.flags or any(name.startswith(READ_AT_START) for name in {**self.variables, **variables}):
            code, out, err = self._cold(words, environment)
        else:
            code, out, err = self.warm.run(words, environment, self.folder)
        ended = Ended(code, out.decode(), err.decode())
        assert "Traceback" not in ended.out + ended.err
        assert not [secret for secret in self.secrets if secret in ended.out + ended.err]
        return ended

    def _cold(self, words: tuple[str, ...], environment: dict[str, str]) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            self.command(*words),
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST_RUN,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def each(self, runs: list[tuple[str, ...]]) -> list[Ended]:
        """Run several commands in one process, to save its start; for those that end before anything is sent."""
        done = subprocess.run(
            [sys.executable, *self.flags, "-c", _EACH, msgspec.json.encode(runs).decode()],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=list[Ended])

    def without(self, *names: str) -> "Nxcdr":
        kept = {name: value for name, value in self.variables.items() if name not in names}
        return evolve(self, variables=kept)

    def under(self, *flags: str) -> "Nxcdr":
        return evolve(self, flags=flags)


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=700, days=2, flash_calls=120) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProcess]:
    process = WarmProcess.started()
    yield process
    process.close()


@pytest.fixture
def nxcdr(gateway: Gateway, warm: WarmProcess, tmp_path: Path) -> Nxcdr:
    secrets = [gateway.credentials.access_secret, gateway.flash_app.secretkey, "a-wrong-secret"]
    return Nxcdr(tmp_path, secrets, warm, gateway.environment())
