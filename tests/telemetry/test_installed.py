"""What is imported, and what works, with OpenTelemetry and without; each in a process of its own."""

import subprocess
import sys

import pytest

READ = """
import asyncio, sys, warnings
warnings.simplefilter("error")
from nxcdr_async import CdrSession
from nxcdr_async.testing import Gateway

def known():
    return sorted(name for name in sys.modules if name.split(".")[0] == "opentelemetry")

def read(*between):
    async def main():
        async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
            for step in between:
                step()
            return len(await session.calls(gateway.first_call, gateway.last_call).collect())
    with Gateway(calls=250) as gateway:
        return asyncio.run(main())
"""

BLOCKED = """
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            asked.append(name)
            raise ModuleNotFoundError(name, name=name)

asked = []
import sys
import importlib.machinery
sys.meta_path.insert(0, Blocked())
"""

EMPTY = """
import sys, types
namespace = types.ModuleType("opentelemetry")
namespace.__path__ = []
namespace.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("opentelemetry", None, is_package=True)
sys.modules["opentelemetry"] = namespace
"""

BROKEN = """
import sys
from unittest import mock
import opentelemetry.trace
del opentelemetry.trace.set_span_in_context
"""

MISSING = """
from importlib import util
found = util.find_spec
util.find_spec = lambda name, package=None: None if name.startswith("opentelemetry") else found(name, package)
"""

PROVIDERS = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, points = InMemorySpanExporter(), InMemoryMetricReader()

def configure():
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([points]))

def told():
    names = {metric.name for scope in points.get_metrics_data().resource_metrics[0].scope_metrics
             for metric in scope.metrics}
    print(len({span.name for span in spans.get_finished_spans()}), "nxcdr.requests" in names)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_without_the_package_nothing_is_imported_and_all_is_read() -> None:
    done = run(f"{MISSING}{READ}print(read(), known())")
    assert (done.stdout.strip(), done.stderr) == ("250 []", "")


def test_a_package_that_cannot_be_imported_costs_no_session() -> None:
    done = run(f"{BLOCKED}{READ}print(read(), known())")
    assert done.stdout.strip() == "250 []"


def test_other_packages_of_that_name_are_no_api() -> None:
    done = run(f"{EMPTY}{READ}print(read(), known())")
    assert (done.stdout.strip(), done.stderr) == ("250 ['opentelemetry']", "")


def test_an_api_that_lacks_what_we_use_is_said_in_the_log() -> None:
    done = run(f"{BROKEN}import logging; logging.basicConfig(){READ}print(read(), read())")
    assert done.stdout.strip() == "250 250"
    assert done.stderr.count("OpenTelemetry is installed but cannot be used (builtins.ImportError)") == 1


def test_the_api_is_imported_with_the_first_session_and_not_before() -> None:
    done = run(f"{READ}before = known(); read(); print(before, 'opentelemetry.trace' in known())")
    assert done.stdout.strip() == "[] True"


def test_with_the_api_alone_the_sdk_is_not_imported_and_all_is_read() -> None:
    done = run(f"{READ}print(read(), [name for name in known() if name.startswith('opentelemetry.sdk')])")
    assert (done.stdout.strip(), done.stderr) == ("250 []", "")


@pytest.mark.first_of
@pytest.mark.parametrize("order", ["configure(); read()", "read(configure)"])
def test_the_global_providers_may_be_set_before_a_session_or_after(order: str) -> None:
    done = run(f"{READ}{PROVIDERS}{order}; told()")
    assert (done.stdout.strip(), done.stderr) == ("2 True", "")
