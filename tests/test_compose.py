"""docker-compose.yml, without an engine: its form, and its services' commands in their order.

The rehearsal runs what the file says, with files where the volumes would be, as an unprivileged
user, on a fresh PostgreSQL of the system. CHATKPI_BIN names the folder of another `chatkpi`, such
as one installed from the wheel; CHATKPI_GRAFANA_PROGRAM, for `pytest -m grafana`, what starts a
Grafana on the port of its first argument, with its data in the folder of the second.
"""

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.cli.grafana_checks import findings

TOP = Path(__file__).parents[1]
TEXT = (TOP / "docker-compose.yml").read_text(encoding="utf-8")
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
KEYS = "/run/chatkpi"
# Docker Compose as a program of its own, or as Docker's plugin; `config` needs no engine.
PROGRAMS = (["docker-compose"], ["docker", "compose"])
Json = dict[str, Any]


def interpolated(value: Any, given: dict[str, str]) -> Any:
    """Return a value with its variables filled in, as Compose does it."""
    if isinstance(value, dict):
        return {key: interpolated(one, given) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, given) for one in value]
    if not isinstance(value, str):
        return value

    def fill(match: "re.Match[str]") -> str:
        if match[0] == "$$":
            return "$"
        name, form, other = match["name"], match["form"], match["other"]
        assert form in (":-", ":+"), f"{match[0]}: a variable without a default"
        if form == ":+":
            return other if given.get(name) else ""
        return given.get(name) or other

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?P<form>:?[-+?])(?P<other>[^}]*)\}|\$.", fill, value)


COMPOSE: Json = interpolated(yaml.safe_load(TEXT), {})
SERVICES: dict[str, Json] = COMPOSE["services"]
LASTING = [name for name, one in SERVICES.items() if one.get("restart")]
ONCE = [name for name in SERVICES if name not in LASTING]


def in_order() -> list[str]:
    """Return the services in the order in which they start. Fails on a circle."""
    found: list[str] = []
    while left := [name for name in SERVICES if name not in found]:
        ready = [name for name in left if set(SERVICES[name].get("depends_on", {})) <= {*found}]
        assert ready, left
        found += ready
    return found


def docker_compose() -> list[str]:
    """Return what runs Docker Compose here; skip the test where there is none."""
    for program in PROGRAMS:
        if shutil.which(program[0]):
            tried = subprocess.run([*program, "version"], capture_output=True, timeout=60)
            if tried.returncode == 0:
                return program
    pytest.skip("there is no docker compose")


@pytest.mark.parametrize("given", [{}, {"CHATKPI_SMTP_HOST": "mail.example"}])
def test_docker_compose_reads_the_file(given: dict[str, str]) -> None:
    command = [*docker_compose(), "-f", TOP / "docker-compose.yml", "config", "--quiet"]
    subprocess.run(command, check=True, env=os.environ | given, timeout=60)


def test_it_starts_without_a_variable_being_set() -> None:
    """Every variable has a default, which `interpolated` sees to, and no service waits in a circle."""
    assert in_order() == ["keys", "db", "setup", "chatkpi", "refresher", "reporter", "grafana"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_kept_within_bounds(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+(\.\d+)+", service["image"]), "a pinned version"
    assert service.get("user", "472" if name == "grafana" else "root") not in ("root", "0")
    assert service["cap_drop"] == ["ALL"] and "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert ("healthcheck" in service) == (name in LASTING)
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("./"):
            assert (TOP / source).is_dir() and rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    for other, condition in service.get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert condition["condition"] == wanted


def test_no_secret_is_in_the_environment() -> None:
    """A password given in the environment goes to the service that writes it into a file."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN", variable) and name not in ("keys",):
                assert not value or "/run/chatkpi/" in value, (name, variable)


def test_no_password_is_in_the_list_of_processes(tmp_path: Path) -> None:
    """All users of the machine see the arguments of a container's programs."""
    script = interpolated(yaml.safe_load(TEXT), {})["configs"]["owner"]["content"]
    (tmp_path / "database").mkdir()
    (tmp_path / "database/owner").write_text("secret\n")
    psql = tmp_path / "psql"
    psql.write_text('#!/bin/sh\necho "$@"\ncat\n')
    psql.chmod(0o755)
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(KEYS, str(tmp_path))],
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "CREATE ROLE chatkpi LOGIN" in said and "secret" not in said


def test_a_service_sees_the_keys_it_needs_and_no_other() -> None:
    seen = {
        name: sorted(
            mount.split(":")[0] for mount in one.get("volumes", []) if f":{KEYS}/" in mount
        )
        for name, one in SERVICES.items()
    }
    assert seen.pop("keys") == ["database_keys", "grafana_keys", "owner_keys", "server_keys"]
    assert seen.pop("setup") == ["grafana_keys", "owner_keys", "server_keys"]
    assert seen == {
        "db": ["database_keys"],
        "chatkpi": ["server_keys"],
        "refresher": ["owner_keys"],
        "reporter": ["owner_keys"],
        "grafana": ["grafana_keys"],
    }


def test_the_image_names_the_same_python_twice() -> None:
    text = (TOP / "Dockerfile").read_text(encoding="utf-8")
    [first, second] = re.findall(r"^FROM (\S+)", text, re.M)
    assert first == second and re.search(r":3\.\d+\.\d+-", first)
    assert "USER chatkpi" in text and SERVICES["keys"]["user"] in text
    from datasource import __version__

    assert SERVICES["keys"]["image"] == f"chatkpi:{__version__}"


class Rehearsal:
    """Runs services' commands on this machine; `folder` is where volumes would be."""

    def __init__(self, folder: Path, stack: ExitStack, given: dict[str, str]) -> None:
        self.folder, self.stack = folder, stack
        self.running = set[str]()
        self.services = interpolated(yaml.safe_load(TEXT), given)["services"]
        self.nobody = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        if self.nobody:
            os.chown(folder, self.nobody.pw_uid, self.nobody.pw_gid)
        self.ports = {"db": free_port(), "chatkpi": free_port(), "grafana": free_port()}
        chatkpi = os.environ.get("CHATKPI_BIN") or str(Path(sys.executable).parent)
        self.path = f"{chatkpi}:{POSTGRES[-1]}:/usr/bin:/bin"
        # A Python below the home of root can be run by nobody else.
        self.own_python = self.nobody and not self.may_run(f"{chatkpi}/chatkpi --version")

    def may_run(self, command: str) -> bool:
        assert self.nobody
        done = subprocess.run(
            ["sh", "-c", command], user=self.nobody.pw_uid, capture_output=True, check=False
        )
        return done.returncode == 0

    def user(self, name: str) -> int | None:
        """Return who runs a service: an unprivileged user, but for what only root can run."""
        has_python = name not in ("db", "grafana")
        if not self.nobody or (has_python and self.own_python):
            return None
        return int(self.nobody.pw_uid)

    def placed(self, text: str) -> str:
        """Return a text with the paths and addresses that things have on this machine."""
        for there, here in (
            (KEYS, f"{self.folder}/keys"),
            ("0.0.0.0", "127.0.0.1"),
            ("http://chatkpi:8080", f"http://127.0.0.1:{self.ports['chatkpi']}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.ports['chatkpi']}"),
            ("127.0.0.1:3000", f"127.0.0.1:{self.ports['grafana']}"),
            ("db:5432", f"127.0.0.1:{self.ports['db']}"),
            ("/etc/chatkpi", str(TOP)),
            ("/var/lib/grafana", f"{self.folder}/grafana"),
        ):
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        own = self.services[name].get("environment", {})
        found = {key: self.placed(str(value)) for key, value in own.items()}
        # Grafana's driver of PostgreSQL is another, and refuses settings that it does not know.
        address = {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(self.ports["db"])}
        libpq = {} if name == "grafana" else address
        port = {"CHATKPI_PORT": str(self.ports["chatkpi"]), "TMPDIR": str(self.folder)}
        return {"PATH": self.path, "HOME": "/nonexistent", **libpq, **port, **found}

    def run(self, command: str | list[str], name: str, **more: str) -> str:
        """Run a command of a service to its end; return what it printed."""
        done = subprocess.run(
            ["sh", "-ec", command] if isinstance(command, str) else command,
            env=self.environment(name) | more,
            cwd="/",
            user=self.user(name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}"
        return done.stdout

    def once(self, name: str) -> str:
        """Run a service that ends."""
        return self.run(self.placed(self.services[name]["command"]), name)

    def lasting(self, name: str, command: list[str], **more: str) -> None:
        """Start a service, and wait until its health check is content."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                env=self.environment(name) | more,
                cwd="/",
                user=self.user(name),
                stdout=file,
                stderr=file,
            )
        self.stack.callback(stop, process)
        check = self.placed(self.services[name]["healthcheck"]["test"])
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            found = subprocess.run(
                ["sh", "-c", check],
                env=self.environment(name),
                cwd="/",
                capture_output=True,
                check=False,
            )
            if found.returncode == 0:
                self.running.add(name)
                return
            assert time.monotonic() < until, (name, found.stderr, log.read_text())
            time.sleep(0.3)

    def database(self) -> None:
        """Do what the image of PostgreSQL does: make a cluster, run the scripts, start."""
        data, environment = self.folder / "data", self.environment("db")
        password = environment["POSTGRES_PASSWORD_FILE"]
        options = environment["POSTGRES_INITDB_ARGS"]
        if not data.exists():
            self.run(f"initdb --username postgres --pwfile {password} {options} -D {data}", "db")
            self.start_database()
            script = self.placed(
                interpolated(yaml.safe_load(TEXT), {})["configs"]["owner"]["content"]
            )
            over_socket = {"PGHOSTADDR": "", "PGHOST": str(self.folder)}
            self.run(["bash", "-euo", "pipefail", "-c", script], "db", **over_socket)
        else:
            self.start_database()

    def start_database(self) -> None:
        settings = (
            f"-p {self.ports['db']} -k {self.folder} -c fsync=off -c listen_addresses=127.0.0.1"
        )
        self.lasting("db", ["postgres", "-D", f"{self.folder}/data", *settings.split()])

    def up(self) -> None:
        """Start everything but Grafana, as `docker compose up` does."""
        self.once("keys")
        if "db" not in self.running:
            self.database()
        self.once("setup")
        for name in ("chatkpi", "refresher"):
            self.lasting(name, self.placed(self.services[name]["command"]).split())

    def key(self, name: str) -> str:
        return (self.folder / "keys" / name).read_text().strip()

    def rows(self, question: Json) -> list[Json]:
        """Ask the server with Grafana's token."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['chatkpi']}/rows",
            json.dumps(question).encode(),
            {
                "Authorization": f"Bearer {self.key('grafana/token')}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request) as answer:
            found: list[Json] = json.load(answer)
        return found


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def rehearsal(folder: Path, **given: str) -> Iterator[Rehearsal]:
    with ExitStack() as stack:
        yield Rehearsal(folder, stack, given)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder that an unprivileged user may enter, as pytest's own are not."""
    if not POSTGRES or not shutil.which("psql"):
        pytest.skip("there is no PostgreSQL of the system")
    with tempfile.TemporaryDirectory(prefix="chatkpi-compose-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


TOTAL = {"kpi": "sessions", "last": "30 days", "shape": "total"}


@pytest.mark.timeout(600)
def test_everything_starts_with_data_and_starts_again(folder: Path) -> None:
    small = {"CHATKPI_DEMO_EVENTS": "3000"}
    with rehearsal(folder, **small) as first:
        first.up()
        [total] = first.rows(TOTAL)
        assert total["value"] > 0
        first.once("reporter")  # ends at once, for no mail server is named
        token, keys = first.key("grafana/token"), {}
        for path in sorted((folder / "keys").rglob("*")):
            if path.is_file():
                keys[path] = path.read_text()
                assert path.stat().st_mode & 0o777 == (0o600 if path.name == "pgpass" else 0o444)
        # Grafana's SQL login reads the tenants' numbers and nothing else.
        ask = "SELECT count(*) > 0 FROM kpi.sessions"
        as_grafana = ["psql", "-XAt", "-U", "grafana", "-d", "chatkpi", "-c"]
        password = {"PGPASSWORD": first.key("grafana/sql")}
        assert first.run([*as_grafana, ask], "db", **password) == "t\n"
        with pytest.raises(AssertionError, match="permission denied"):
            first.run([*as_grafana, "SELECT * FROM kpi_admin.token"], "db", **password)
    with rehearsal(folder, CHATKPI_DEMO_EVENTS="3000") as again:
        again.up()
        assert again.key("grafana/token") == token and again.rows(TOTAL) == [total]
        assert all(path.read_text() == text for path, text in keys.items())
        (folder / "keys/grafana/token").unlink()
        again.once("setup")
        assert again.key("grafana/token") != token and again.rows(TOTAL) == [total]
    with (
        rehearsal(folder, CHATKPI_GRAFANA_PASSWORD="other") as third,
        pytest.raises(AssertionError, match="not the password of the first start"),
    ):
        third.once("keys")


@pytest.mark.grafana
@pytest.mark.timeout(900)
def test_grafana_shows_it(folder: Path) -> None:
    if not (program := os.environ.get("CHATKPI_GRAFANA_PROGRAM")):
        pytest.skip("CHATKPI_GRAFANA_PROGRAM names no program")
    with rehearsal(folder, CHATKPI_ALERT_WEBHOOK="http://127.0.0.1:9/") as found:
        found.up()
        (folder / "grafana").mkdir(exist_ok=True)
        if found.nobody:
            os.chown(folder / "grafana", found.nobody.pw_uid, -1)
        [script] = found.services["grafana"]["command"]
        data = f"{found.ports['grafana']} {folder}/grafana"
        script = found.placed(script).replace("/run.sh", f"{program} {data}")
        found.lasting("grafana", ["sh", "-ec", script])

        def get(path: str) -> Any:
            login = b64encode(f"admin:{found.key('grafana/admin')}".encode()).decode()
            address = f"http://127.0.0.1:{found.ports['grafana']}/api{path}"
            request = urllib.request.Request(address, headers={"Authorization": f"Basic {login}"})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        login = f"admin:{found.key('grafana/admin')}"
        address = f"http://{login}@127.0.0.1:{found.ports['grafana']}"
        assert [one for one in findings(address) if one.wrong] == []
        kinds = {one["type"] for one in get("/v1/provisioning/contact-points")}
        assert {"email", "webhook"} <= kinds
        path = "/datasources/proxy/uid/chatkpi"
        address = f"{path}/export/sessions.csv?last=30%20days&shape=total"
        with pytest.raises(json.JSONDecodeError) as answer:  # a file of numbers, and no JSON
            get(address)
        assert int(answer.value.doc.split()[-1]) > 0
