"""Services on an emulator of their own, whose logs have to stay clean."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from shared.service import UVICORN, Service

from nxcdr_async.testing import Gateway
from tests.services.running_service import RunService, running_on, trouble_of


@pytest.fixture
def run_service(tmp_path: Path) -> Iterator[RunService]:
    """Run the FastAPI service on an emulator, and look at the end that it has logged no trouble."""
    with ExitStack() as left:

        def run(gateway: Gateway, *options: str) -> Service:
            command = (*UVICORN, *options, "tests.services.watched_service:app")
            started.append(left.enter_context(running_on(gateway, tmp_path, *command)))
            return started[-1]

        started: list[Service] = []
        yield run
        for service in started:
            service.stop()
            assert not trouble_of(service)


@pytest.fixture
def service(gateway: Gateway, run_service: RunService) -> Service:
    return run_service(gateway)
