"""What operators paste works: the commands of docs/operators.md, each in the environment that it is going to have."""

import configparser
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import define

from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Metric
from nxcdr_async.testing import Gateway

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="cron, systemd and containers are of other systems")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
LONGEST = 120.0
OF_CRON = {"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "LOGNAME": "somebody"}
OF_SYSTEMD = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "USER": "nxcdr"}
OF_CONTAINERS = {"HOME": "/", "HOSTNAME": "nxcdr-0", "PATH": "/usr/local/bin:/usr/bin:/bin"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


UNITS = {block.split("\n", 1)[0].rpartition("/")[2]: block for block in blocks("ini")}
OBJECTS = [document for block in blocks("yaml") for document in yaml.safe_load_all(block)]
KINDS = {document["kind"]: document for document in OBJECTS if "kind" in document}


@define(frozen=True)
class Machine:
    """A folder that stands for a machine: the installed command, the file of the keys, a place for stores.

    Attributes:
        folder: the folder.
        keys: the variables in the file.
        since: the day from when on there are calls.
    """

    folder: Path
    keys: dict[str, str]
    since: str

    @property
    def command(self) -> Path:
        return self.folder / "nxcdr" / "bin" / "nxcdr"

    @property
    def store(self) -> Path:
        return self.folder / "calls.sqlite"

    def here(self, text: str) -> str:
        """Return a text of the docs for this machine: with its paths, and a date of today's."""
        for place in ("/opt", "/var/lib/nxcdr", "/data"):
            text = text.replace(f"{place}/", f"{self.folder}/")
        return text.replace("/etc/nxcdr.env", str(self.folder / ".nxcdr.env")).replace("2026-01-01", self.since)

    def stored(self) -> set[str]:
        with closing(sqlite3.connect(self.store)) as database:
            return {found for (found,) in database.execute("SELECT call_id FROM calls")}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    with Gateway(calls=200, days=2, first_day=yesterday, did_calls=0, flash_calls=0) as gateway:
        yield gateway


@pytest.fixture
def machine(tmp_path: Path, gateway: Gateway) -> Machine:
    keys = {name: value for name, value in gateway.environment().items() if "FLASH" not in name}
    keys["NXCDR_REGION"] = "hk"
    since = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    machine = Machine(tmp_path, keys, since)
    (template,) = (block for block in blocks("") if block.startswith("NXCDR_ACCESS_KEY="))
    wanted = {line.partition("=")[0] for line in template.splitlines()}
    assert wanted <= set(keys)
    lines = (f"{name}={value}\n" for name, value in keys.items())
    (tmp_path / ".nxcdr.env").write_text("".join(lines), encoding="utf-8")
    machine.command.parent.mkdir(parents=True)
    # Where nothing is installed but a checkout: all else is as after `pip install`.
    machine.command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m nxcdr_async "$@"\n')
    machine.command.chmod(0o755)
    return machine


def known(gateway: Gateway) -> set[str]:
    return set(gateway.call_ids(None, datetime.now(UTC) - timedelta(minutes=10)))


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(command: list[str], environment: dict[str, str], port: int) -> Iterator["subprocess.Popen[str]"]:
    """Run a command until it is well, which it tells on a port."""
    with subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            assert str(port) in next(lines)
            assert "new, " in next(lines)
            yield process
        finally:
            process.kill()


def health(port: int, path: str = "/healthz") -> int:
    until = time.monotonic() + LONGEST
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LONGEST) as reply:
                return int(reply.status)
        except ConnectionError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_the_line_of_cron_works_in_its_environment(machine: Machine, gateway: Gateway) -> None:
    (line,) = (block.strip() for block in blocks("") if re.match(r"\S+ \S+ \* \* \* ", block))
    when, command = " ".join(line.split(" ")[:5]), line.split(" ", 5)[5]
    assert when == "*/5 * * * *"
    assert "%" not in command  # which cron takes for the end of the line
    environment = {**OF_CRON, "HOME": str(machine.folder)}
    for _ in range(2):
        done = run(["/bin/sh", "-c", machine.here(command)], environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert known(gateway) <= machine.stored()


def unit(machine: Machine, name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd tells upper and lower case apart
    parser.read_string(machine.here(UNITS[name]))
    return parser


def of_service(machine: Machine, service: Any) -> tuple[list[str], dict[str, str]]:
    """Return the command of a service and its environment, read as systemd does."""
    lines = Path(service["EnvironmentFile"]).read_text(encoding="utf-8").splitlines()
    keys = dict(line.split("=", 1) for line in lines)
    assert keys == machine.keys
    return shlex.split(service["ExecStart"]), {**OF_SYSTEMD, **keys}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(machine: Machine) -> None:
    assert set(UNITS) == {"nxcdr-sync.service", "nxcdr-sync.timer", "nxcdr-every.service"}
    paths = []
    for name, text in UNITS.items():
        path = machine.folder / name
        path.write_text(machine.here(text), encoding="utf-8")
        paths.append(str(path))
    done = run(["systemd-analyze", "verify", "--man=no", *paths], {"PATH": "/usr/bin:/bin"})
    ours = [line for line in done.stderr.splitlines() if "nxcdr" in line]
    assert (ours, done.returncode) == ([], 0), done.stderr


def test_the_service_with_a_timer_works_in_its_environment(machine: Machine, gateway: Gateway) -> None:
    service = unit(machine, "nxcdr-sync.service")["Service"]
    done = run(*of_service(machine, service))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert known(gateway) <= machine.stored()
    assert service["SuccessExitStatus"] == "3 75"


def test_the_service_works_by_itself_until_it_is_stopped(machine: Machine, gateway: Gateway) -> None:
    service = unit(machine, "nxcdr-every.service")["Service"]
    command, environment = of_service(machine, service)
    port = free_port()
    assert command[-2] == "--metrics-port"
    command[-1] = str(port)
    with serving(command, environment, port) as process:
        assert (health(port), health(port, "/metrics")) == (200, 200)
        process.send_signal(signal.SIGTERM)  # systemd's own
        assert process.wait(LONGEST) == 0
    assert known(gateway) <= machine.stored()


def test_a_service_that_cannot_work_is_not_started_again(machine: Machine) -> None:
    service = unit(machine, "nxcdr-every.service")["Service"]
    command, environment = of_service(machine, service)
    done = run(command, {name: value for name, value in environment.items() if "SECRET" not in name})
    assert str(done.returncode) == service["RestartPreventExitStatus"]


def pod_of(kind: str) -> Any:
    spec = KINDS[kind]["spec"]
    return (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]["spec"]


@pytest.mark.parametrize("kind", ["CronJob", "Deployment"])
def test_a_pod_mounts_what_it_names(kind: str) -> None:
    pod = pod_of(kind)
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert [volumes[mount["name"]] for mount in container["volumeMounts"]] == [
        KINDS["PersistentVolumeClaim"]["metadata"]["name"]
    ]
    secret = container["envFrom"][0]["secretRef"]["name"]
    assert f"kubectl create secret generic {secret} --from-env-file" in PAGE
    assert all(isinstance(word, str) for word in container["args"])


def test_the_cron_job_works_in_its_environment(machine: Machine, gateway: Gateway) -> None:
    (container,) = pod_of("CronJob")["containers"]
    command = [str(machine.command), *map(machine.here, container["args"])]
    done = run(command, {**OF_CONTAINERS, **machine.keys})
    assert (done.returncode, done.stdout) == (0, "")
    assert known(gateway) <= machine.stored()


def test_the_deployment_works_until_it_is_stopped(machine: Machine, gateway: Gateway) -> None:
    spec = KINDS["Deployment"]["spec"]
    (container,) = pod_of("Deployment")["containers"]
    probe = container["livenessProbe"]["httpGet"]
    told = spec["template"]["metadata"]["annotations"]["prometheus.io/port"]
    assert {f"--metrics-port={port}" for port in (probe["port"], container["ports"][0]["containerPort"], told)} <= set(
        container["args"]
    )
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    port = free_port()
    args = [machine.here(word).replace(str(probe["port"]), str(port)) for word in container["args"]]
    with serving([str(machine.command), *args], {**OF_CONTAINERS, **machine.keys}, port) as process:
        assert health(port, probe["path"]) == 200
        process.send_signal(signal.SIGTERM)  # Kubernetes' own
        assert process.wait(LONGEST) == 0
    assert known(gateway) <= machine.stored()


def test_the_image_starts_the_command() -> None:
    (dockerfile,) = blocks("dockerfile")
    assert 'ENTRYPOINT ["nxcdr"]' in dockerfile
    users = {int(number) for number in re.findall(r"\d+", dockerfile.split("USER ")[1].split("\n")[0])}
    assert {pod_of(kind)["securityContext"]["fsGroup"] for kind in ("CronJob", "Deployment")} == users


def test_each_metric_that_is_named_is_told() -> None:
    counters = {names.REQUESTS, names.RETRIES, names.THROTTLED, names.PUSHES, *names.SYNC_COUNTERS}
    gauges = {names.LIMIT, *names.SYNC_GAUGES}

    def name_of(metric: Metric) -> str:
        suffix = "_total" if metric in counters else "_seconds" if metric.unit == "s" else ""
        return metric.name.replace(".", "_") + suffix

    told = {name_of(metric) for metric in counters | gauges}
    assert set(re.findall(r"\bnxcdr_(?!async)\w+", PAGE)) == told
