"""What is done to the project: `nox` runs lint, types and tests.

`nox -s docs slow coverage lowest audit soak bench demo` does the rest.
"""

import os
import re
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]

PYTHONS = ["3.11", "3.12", "3.13"]
CODE = ("nxcdr_async", "tests", "benchmarks", "docs", "noxfile.py")
ASYNC_RULES = "ASYNC1,ASYNC2,ASYNC3,ASYNC900"
WAITS = re.compile(r"\b(async|await|asyncio|anyio|BaseException|Cancelled\w*)\b|except:")
"""What stands in every module that an async rule could have something to say about."""

SPREAD = ("-n", "auto", "--dist", "worksteal")
BENCHMARKS = (
    "startup",
    "processor",
    "wall",
    "memory",
    "peers",
    "faults",
    "throttling",
    "backfill",
    "service",
    "short_ranges",
)
RESOLUTIONS = ("highest", "lowest-direct")
UV = "uv>=0.9"
IGNORED_VULNERABILITIES = {
    "GHSA-rgxp-2hwp-jwgg": "a function of Arrow's C++ library that pyarrow, by its own advisory, does not expose",
}
LINTERS = ("ruff>=0.8", "flake8>=7.1", "flake8-async>=24.9.5")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the newest of every dependency, on every Python that is there."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "--editable", ".[all,test]")
    session.run("pytest", *SPREAD, *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run what takes too long for each day: storms of kills, further variants, benchmarks, all examples."""
    session.install("--editable", ".[all,test]")
    # One process a core, not two: some of the benchmarks among them measure time.
    spread = ("-n", str(os.cpu_count() or 1), "--dist", "worksteal")
    session.run("pytest", *spread, "-m", "slow or hypothesis", "--hypothesis-profile", "full", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Tell how many lines and branches the tests of each day reach, in processes of their own too."""
    session.install("--editable", ".[all,test]", "coverage>=7.10")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *SPREAD, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest version of each dependency that pyproject.toml allows."""
    session.install(UV)
    session.run("uv", "pip", "install", "--upgrade", "--resolution", "lowest-direct", "--editable", ".[all,test]")
    session.run("pytest", *SPREAD, *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities in what the package brings along, at its newest and at its lowest.

    Needs PyPI's JSON API, or another service: `nox -s audit -- --vulnerability-service osv`. Strict, as pip-audit would
    else pass over what the service does not know: a package that could not be looked up is a failure too.
    """
    session.install(UV, "pip-audit>=2.10")
    ignored = [f"--ignore-vuln={name}" for name in IGNORED_VULNERABILITIES]
    failed = [name for name in RESOLUTIONS if not _passes(session, "pip-audit", *_pins(session, name), *ignored)]
    if failed:
        session.error(f"vulnerable, or not to be looked up: {', '.join(failed)}")


def _pins(session: nox.Session, resolution: str) -> list[str]:
    """Resolve the package with all its extras, and return what has pip-audit look at just that."""
    pins = str(Path(session.create_tmp()) / f"{resolution}.txt")
    # Without --upgrade, pins of an earlier run would be kept as long as they satisfy.
    command = ["uv", "pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--extra", "all"]
    command += ["--resolution", resolution, "--python-version", PYTHONS[0], "--output-file", pins]
    session.run(*command, "pyproject.toml", silent=True)
    return ["--strict", "--disable-pip", "--require-hashes", "--requirement", pins, *session.posargs]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff, and the async rules with flake8-async, where a module has anything to do with them."""
    session.install(*LINTERS)
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    modules = Path("nxcdr_async").rglob("*.py")
    waiting = [str(path) for path in modules if WAITS.search(path.read_text(encoding="utf-8"))]
    # It walks through a module six times, blanks and comments included: half of them need not pay for that.
    session.run("flake8", f"--select={ASYNC_RULES}", f"--enable={ASYNC_RULES}", "--anyio", "--asyncio", *waiting)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy strict, the public face as a user would write it included."""
    session.install("--editable", ".[all,test]", "mypy>=1.13", "nox>=2024.10.9")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, each warning an error; `nox -s docs -- links` asks other sites for their pages instead.

    A link inside the pages that leads nowhere is a warning, and so is a public name that the reference lacks.
    """
    session.install("--editable", ".[docs]")
    builder = "linkcheck" if "links" in session.posargs else "html"
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-b", builder, "docs", f"{session.create_tmp()}/{builder}")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks, or only those named: `nox -s bench -- wall peers`. All run, even if one misses a limit."""
    session.install("--editable", ".[all,test,bench]")
    scripts = session.posargs or BENCHMARKS
    failed = [name for name in scripts if not _passes(session, "python", f"benchmarks/{name}.py")]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests: half an hour of mixed load, and whatever else takes too long for each day."""
    session.install("--editable", ".[all,test]")
    session.run("pytest", "tests/soak", *session.posargs)


def _passes(session: nox.Session, *command: str) -> bool:
    try:
        session.run(*command)
    except CommandFailed:
        return False
    return True


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job on the emulator, as README's first command does."""
    session.install(".[all]")
    session.run("nxcdr", "demo", *session.posargs)
