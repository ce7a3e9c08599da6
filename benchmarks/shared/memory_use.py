"""How much memory this process holds, and held at most, without anything to install."""

import sys
from contextlib import suppress
from pathlib import Path

_PROCESSES = Path("/proc")


def held_kib() -> int:
    """Return the resident memory of this process now; where that cannot be known, the most so far."""
    return _from_status("VmRSS:") or _most_by_usage()


def most_held_kib() -> int:
    """Return the most resident memory this process had since `forget_most`, or since it started."""
    # Not getrusage where it can be helped: Linux hands the parent's peak on to a child it starts.
    return _from_status("VmHWM:") or _most_by_usage()


def held_kib_of(process: int) -> int:
    """Return the resident memory of another process now; 0 where the system does not tell."""
    return _from_status("VmRSS:", str(process))


def most_held_kib_of(process: int) -> int:
    """Return the most resident memory of another process since it was forgotten; 0 where the system does not tell."""
    return _from_status("VmHWM:", str(process))


def forget_most(process: str = "self") -> None:
    """Start the peak anew from what is held now, where the system can: imports may have had a higher one."""
    with suppress(OSError):
        (_PROCESSES / process / "clear_refs").write_text("5", encoding="ascii")


def _from_status(name: str, process: str = "self") -> int:
    status = _PROCESSES / process / "status"
    if not status.exists():
        return 0
    lines = status.read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _most_by_usage() -> int:
    import resource  # noqa: PLC0415 - not there on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most
