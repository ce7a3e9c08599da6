"""Processes of their own, which import the modules of the tests as we do."""

import os
import sys


def running_module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module, such as `tests.ingest.push_process`."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def environment_of_children() -> dict[str, str]:
    """Return an environment in which everything can be imported that can be imported here."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def environment_of_strangers() -> dict[str, str]:
    """Return an environment for who may not write what coverage counts: another user, or one without disk."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
