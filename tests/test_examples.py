"""The examples, each as a process: some watch what one serves, two publish, and two bid."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_auction_real import serving
from workers_server import Launched

EXAMPLES = Path(__file__).parent.parent / "examples"
LONGEST = 30
"""Seconds after which a process that says nothing is ended."""
ENVIRONMENT = {
    **os.environ,
    "STREAM_USER": "demo",
    "STREAM_PASS": "demo-password",
    "PYTHONPATH": str(EXAMPLES.parent),
    "PYTHONUNBUFFERED": "1",
}

pytestmark = pytest.mark.real


class Process:
    """An example that runs, and what it prints."""

    def __init__(self, name, *arguments, **environment):
        self._process = subprocess.Popen(
            ["timeout", str(LONGEST), sys.executable, EXAMPLES / name, *arguments],
            env={**ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._process.terminate()
        self._process.communicate()

    def wait_for(self, pattern):
        printed = []
        for line in self._process.stdout:
            printed.append(line)
            if match := re.search(pattern, line):
                return match
        pytest.fail(f"no {pattern!r} in:\n{''.join(printed)}")

    def exit_code(self):
        return self._process.wait()


@pytest.fixture(scope="module")
def port():
    with Process("embed_server.py", "tcp:0:interface=127.0.0.1") as server:
        yield server.wait_for(r"listening on .*port=(\d+)")[1]


@pytest.fixture(params=["watch_twisted.py", "watch_asyncio.py"])
def example(request):
    return request.param


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "tcp:127.0.0.1:{}"])
def test_watching(example, address, port):
    with Process(example, address.format(port), "ACME", "OTHER") as watcher:
        watcher.wait_for(r"^Authenticated")
        watcher.wait_for(r"^Subscribed")
        watcher.wait_for(r"^ACME +\d+\.\d{4} +\d+\.\d\d$")


def test_a_wrong_password_is_the_end(example, port):
    with Process(example, f"127.0.0.1:{port}", STREAM_PASS="wrong") as watcher:
        watcher.wait_for(r"InvalidAuth.*the name or the password is wrong")
        assert watcher.exit_code() == 1


def test_going_on_after_its_own_end(tmp_path, port):
    file = tmp_path / "position"
    arguments = ("resume_asyncio.py", file, f"127.0.0.1:{port}", "ACME")
    with Process(*arguments) as watcher:
        watcher.wait_for(r"^ +\d+ ACME +\d+\.\d{4}$")
        watcher.wait_for(r"^ +\d+ ACME +\d+\.\d{4}$")
    _, last = json.loads(file.read_text())
    with Process(*arguments) as watcher:
        watcher.wait_for(r"^Subscribed.* recovered=True")
        assert int(watcher.wait_for(r"^ +(\d+) ACME ")[1]) == last + 1


@pytest.fixture(name="open_port", scope="module")
def serve_publishers(tmp_path_factory):
    """The port of a server that the examples' user may publish to."""
    login = {name: ENVIRONMENT[name] for name in ("STREAM_USER", "STREAM_PASS")}
    folder = tmp_path_factory.mktemp("server")
    with Launched(
        folder, workers=0, environ={**login, "TICKSTORM_PUBLISHERS": "demo:A*"}
    ) as server:
        yield server.port


@pytest.fixture(name="publishing", params=["publish_twisted.py", "publish_asyncio.py"])
def choose_publishing(request):
    return request.param


def test_publishing(publishing, open_port):
    with Process(publishing, f"127.0.0.1:{open_port}", "ACME") as publisher:
        publisher.wait_for(r"^Admitted")
        publisher.wait_for(r"^3 published$")


def test_publishing_what_the_user_may_not_is_the_end(publishing, open_port):
    with Process(publishing, f"127.0.0.1:{open_port}", "OTHER") as publisher:
        publisher.wait_for(r"MayNotPublish.*tick 0: this user may not publish OTHER; no tick was")
        assert publisher.exit_code() == 1


@pytest.fixture(name="bidding", params=["bid_twisted.py", "bid_asyncio.py"])
def choose_bidding(request):
    return request.param


def test_bidding(bidding):
    with serving() as server:
        server.create(1, start="5.00")
        login = {"STREAM_USER": "alice", "STREAM_PASS": "secret"}
        with Process(bidding, f"127.0.0.1:{server.auction}", "1", "42", **login) as bidder:
            bidder.wait_for(r"^Entered")
            bidder.wait_for(r"^TOO_LOW 5\.00$")
            bidder.wait_for(r"^ACCEPTED 5\.01$")
            server.ask("/auctions/close?id=1", "POST")
            bidder.wait_for(r"^Leader\(.*SOLD")
            assert bidder.exit_code() == 0
