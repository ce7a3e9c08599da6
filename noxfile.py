"""What is done to the project: `nox -s tests`, `lint`, `types`, `bench`, `demo`; all but the last two by default."""

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]

PYTHONS = ["3.11", "3.12", "3.13"]
CODE = ("nxcdr_async", "tests", "benchmarks", "noxfile.py")
ASYNC_RULES = "ASYNC1,ASYNC2,ASYNC3,ASYNC900"
BENCHMARKS = ("startup", "processor", "wall", "memory", "peers", "throttling")
LINTERS = ("ruff>=0.8", "flake8>=7.1", "flake8-async>=24.9.5")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests, on every Python that is there."""
    session.install("--editable", ".[all,test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff, and the async rules with flake8-async."""
    session.install(*LINTERS)
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    session.run("flake8", f"--select={ASYNC_RULES}", f"--enable={ASYNC_RULES}", "--anyio", "--asyncio", "nxcdr_async")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy strict, the public face as a user would write it included."""
    session.install("--editable", ".[all,test]", "mypy>=1.13", "nox>=2024.10.9")
    session.run("mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks, or only those named: `nox -s bench -- wall peers`. All run, even if one misses a limit."""
    session.install("--editable", ".[all,test,bench]")
    failed = [name for name in session.posargs or BENCHMARKS if not _passes(session, f"benchmarks/{name}.py")]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


def _passes(session: nox.Session, script: str) -> bool:
    try:
        session.run("python", script)
    except CommandFailed:
        return False
    return True


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job on the emulator, as README's first command does."""
    session.install(".[all]")
    session.run("nxcdr", "demo", *session.posargs)
