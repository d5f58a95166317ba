"""The documentation: its links lead somewhere, its tables are the code's, what it shows runs."""

import json
import os
import re
import runpy
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from urllib.request import urlopen

import pytest
from conversation import Client, Server, auth, encode_frame, heartbeat, read, subscribe
from signing import PRIVATE_PEM, PUBLIC_PEM, SECRET
from test_auction_real import serving
from zope.interface.verify import verifyObject

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.admission import Rejection
from tickstorm.auction.rule import Outcome
from tickstorm.auction.tokens import Tokens, read_key
from tickstorm.cli import main as tickstorm
from tickstorm.config import SETTINGS, load
from tickstorm.credentials import IAuthenticator, Peer, SharedCredentials, User
from tickstorm.errors import PROTOCOL_ERRORS, NotPermitted
from tickstorm.frames import FrameType
from tickstorm.kinds import toml
from tickstorm.messages import Login
from tickstorm.reloading import HOLDS
from tickstorm.tap import Options
from tickstorm.ticks import Tick

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BIN = Path(sys.executable).parent
LONGEST = 40
"""Seconds after which a process is ended, whatever it does."""

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NAME = re.compile(r"# (\S+\.(?:py|tac|toml))\n")
_HEX = re.compile(r"<!-- hex: (.+?) -->\n```text\n(.*?)```", re.DOTALL)

OPERATIONS = (ROOT / "docs/operations.md").read_text()
AUCTION = (ROOT / "docs/auction.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()


def blocks(language):
    """Every block of a language, on whatever page."""
    return [
        text
        for page in PAGES
        for found, text in _FENCED.findall(page.read_text())
        if found == language
    ]


def named_blocks(language):
    """The same by the file name in their first line."""
    named = {}
    for text in blocks(language):
        name = _NAME.match(text)
        if name:
            assert name[1] not in named
            named[name[1]] = text
    return named


def rows(text, heading):
    """The rows of the first table behind a heading, without its head, each cell without ticks."""
    lines = text.partition(f"{heading}\n")[2].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return table


def commands():
    """What stands behind each prompt of the consoles, comments left out."""
    return [
        line[2:].partition("  #")[0].strip()
        for text in blocks("console")
        for line in text.splitlines()
        if line.startswith("$ ")
    ]


# Links.


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page):
    text = _FENCED.sub("", page.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    broken = []
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


# Tables.


def test_every_setting_is_in_the_table():
    assert rows(OPERATIONS, "## Settings") == [
        [
            setting.name,
            "" if setting.default in ("", ()) else toml(setting.default),
            setting.doc,
            ", ".join(setting.environment),
        ]
        for setting in SETTINGS
    ]


def test_when_each_setting_holds_that_was_changed_is_in_the_table():
    table = [(name, holds.value) for name, holds in HOLDS.items()]
    assert [tuple(row) for row in rows(OPERATIONS, "## Reloading")] == table


def test_every_outcome_of_a_bid_is_in_the_table():
    behind = AUCTION.partition("A RESULT's value has 65 bytes")[2]
    table = [(int(row[0]), row[1]) for row in rows(f"## Outcomes\n{behind}", "## Outcomes")]
    assert table == [(int(outcome), outcome.name) for outcome in Outcome]


def test_every_rejection_is_in_the_table():
    told = [row[3] for row in rows(OPERATIONS, "## Who may come in")]
    assert sorted(told) == sorted(rejection.value for rejection in Rejection)


def test_every_error_is_in_the_table():
    table = [(int(row[0]), row[1], row[3], row[4]) for row in rows(PROTOCOL, "## Errors")]
    assert table == [
        (
            int(code),
            code.name,
            "ends" if error.closes else "goes on",
            "yes" if error.retryable else "no",
        )
        for code, error in sorted(PROTOCOL_ERRORS.items())
    ]


def test_every_type_is_in_the_table():
    table = [(int(row[0], 16), row[1]) for row in rows(PROTOCOL, "## The types")]
    assert table == [(int(type), type.name) for type in FrameType]


@pytest.mark.parametrize(
    "kind",
    [kind for kind in pb.DESCRIPTOR.message_types_by_name.values() if kind.fields],
    ids=lambda kind: kind.name,
)
def test_every_field_is_in_the_table(kind):
    table = [(int(row[0]), row[1]) for row in rows(PROTOCOL, f"### {kind.name}")]
    assert table == [(field.number, field.name) for field in kind.fields]


def test_every_key_of_the_ack_is_in_the_table():
    server = Server()
    client = server.connect()
    client.send(auth(), subscribe(resume_epoch="epoch-0"))
    _, ack, _ = client.read()
    text = PROTOCOL.partition("### AckResponse")[2].partition("\n\n")[2].partition("\n\n")[2]
    assert {row[0] for row in rows(f"\n{text}", "")} == set(ack.metadata)


# Bytes.


def shown_bytes():
    return {
        name: bytes.fromhex(text.replace("\n", "").replace(" ", ""))
        for name, text in _HEX.findall(PROTOCOL)
    }


def test_the_bytes_of_the_conversation():
    shown = shown_bytes()
    credentials = SharedCredentials("demo", "demo-password")
    server = Server(credentials, start=1_790_000_000.25, epoch="f00dfeed0001")
    server.hub.publish([Tick("ACME", 101.5, 300.0, bid=101.4, ask=101.6)])
    client = Client(server.factory)

    client.send(shown["client auth"])
    assert client.read() == read(shown["server ack"])
    client.send(shown["client subscribe"])
    assert client.read() == read(shown["server subscribed"])
    server.hub.publish([Tick("ACME", 101.75, 100.0), Tick("ACME", 101.25, 200.0)])
    server.advance(1)
    assert client.read() == read(shown["server batch"])
    client.send(shown["client heartbeat"])
    assert client.read() == read(shown["server pong"])
    client.send(shown["client empty heartbeat"])
    assert [pong.sequence for pong in client.read()] == [0]
    client.send(auth()[:-1] + b"\0")
    assert client.read() == read(shown["server error"])


def test_the_bytes_of_the_client_are_what_they_are_said_to_be():
    shown = shown_bytes()
    assert [shown[name] for name in shown if name.startswith("client")] == [
        auth("demo", "demo-password", client_id="desk-1", version="1.0"),
        subscribe(pb.SUBSCRIPTION_MODE_SECOND, "ACME", snapshot=True),
        heartbeat(7, 1_790_000_001_300),
        encode_frame(FrameType.HEARTBEAT, b""),
    ]


def test_the_frame_taken_apart_is_the_auth():
    apart = next(text for text in blocks("text") if "magic" in text)
    digits = [re.match(r"[0-9a-f ]*?(?=  |$)", line)[0] for line in apart.splitlines()]
    assert bytes.fromhex("".join(digits)) == shown_bytes()["client auth"]


# Commands.


def options_of(command):
    return {option for parameter in command.params for option in parameter.opts}


def wrong_options_of_tickstorm(words):
    command = tickstorm
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = options_of(command) | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return ["no command"] if hasattr(command, "commands") and "--help" not in words else unknown


def wrong_options_of_twistd(words):
    options = Options()
    known = {f"--{name}" for name in (*options.longOpt, *options.synonyms)}
    known = {name.rstrip("=") for name in known} | {"--help"}
    own = words[words.index("tickstorm") + 1 :] if "tickstorm" in words else []
    return [word for word in own if word.startswith("--") and word not in known]


def wrong_in(command):
    words = shlex.split(command)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)
    program = Path(words[0]).name
    if program == "tickstorm":
        return wrong_options_of_tickstorm(words[1:])
    if program == "twistd":
        return wrong_options_of_twistd(words)
    if program == "make":
        targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return [word for word in words[1:] if "=" not in word and word not in targets]
    if words[0] == ".ci/run":
        return [] if os.access(ROOT / words[0], os.X_OK) else ["no such file"]
    return (
        [] if program in ("export", "python", "python3", "pip", "openssl", "mkdir") else ["what?"]
    )


@pytest.mark.parametrize("command", commands())
def test_commands_exist(command):
    assert wrong_in(command) == []


@pytest.mark.parametrize("option", ["--frobnicate", "--prot"])
def test_commands_that_do_not_exist_are_found(option):
    assert wrong_in(f"twistd -n tickstorm {option} x") == [option]
    assert wrong_in(f"tickstorm watch {option}") == [option]
    assert wrong_in("tickstorm wotch") == ["no command"]
    assert wrong_in("tickstorm config envs") == ["no command"]
    assert wrong_in("make frobnicate") == ["frobnicate"]


def test_the_settings_shown_can_be_used(tmp_path):
    for text in blocks("toml"):
        tomllib.loads(text)
        (tmp_path / "prices.toml").write_text(text)
        settings = load(
            file=tmp_path / "prices.toml", environ={"STREAM_PASS": "change-me"}, options={}
        )
        assert settings.origins["port"].name == "port"


# What is shown runs.


EXAMPLES = {path.read_text() for path in (ROOT / "examples").glob("*.py")}
RUN_HERE = {
    "embed.py",
    "follow.py",
    "prices.tac",
    "certificate_names.py",
    "members.py",
    "open_auction.py",
    "feedco/quotes.py",
    "twisted/plugins/feedco_plugin.py",
    "make_tokens.py",
    "test_quotes.py",
}


def test_every_block_is_run():
    unnamed = [text for text in blocks("python") if not _NAME.match(text)]
    assert [text for text in unnamed if text not in EXAMPLES] == []
    assert set(named_blocks("python")) == RUN_HERE


@pytest.fixture
def place(tmp_path):
    """A folder with every named block in it as a file, all on a port that is free."""
    port = free_port()
    for name, text in named_blocks("python").items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("8080", str(port)))
    return Place(tmp_path, port)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Place:
    """Where processes run, with a login in their environment."""

    def __init__(self, folder, port):
        self.folder = folder
        self.port = port

    def run(self, program, *arguments, **environment):
        return Process(self.folder, program, *arguments, **environment)

    def watch(self, *arguments):
        """Wait for one tick of the server on the port, and return its line."""
        address = arguments or (f"127.0.0.1:{self.port}",)
        with self.run("tickstorm", "watch", *address, "--count", "1") as watching:
            return watching.wait_for(r"^\d{4}-.* ACME .*|^\d{4}-.* SIM\d .*")[0]


class Process:
    """A program that runs, and what it prints."""

    def __init__(self, folder, program, *arguments, **environment):
        self._process = subprocess.Popen(
            ["timeout", str(LONGEST), BIN / program, *map(str, arguments)],
            cwd=folder,
            env={
                **os.environ,
                "STREAM_USER": "desk",
                "STREAM_PASS": "change-me",
                "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def wait_for(self, pattern):
        printed = []
        for line in self._process.stdout:
            printed.append(line)
            if match := re.search(pattern, line):
                return match
        pytest.fail(f"no {pattern!r} in:\n{''.join(printed)}")

    def output(self):
        return self._process.stdout.read()


@pytest.mark.real
def test_the_server_of_ten_lines(place):
    with place.run("python", "embed.py"):
        assert "101.25" in place.watch()


@pytest.mark.real
def test_the_client_over_a_restart_of_the_server(place):
    with place.run("python", "follow.py") as client:
        with place.run("python", "embed.py"):
            client.wait_for(r"^ACME 101\.25 5\.0$")
        client.wait_for(r"^again in \d\.\d s: ")
        with place.run("python", "embed.py"):
            client.wait_for(r"^the server was started again")
            client.wait_for(r"^ACME 101\.25 5\.0$")


@pytest.mark.real
def test_the_service_in_an_application(place):
    port = f"tcp:{place.port}:interface=127.0.0.1"
    arguments = ("--pidfile=", "-noy", "prices.tac")
    with place.run("twistd", *arguments, TICKSTORM_PORT=port, TICKSTORM_HTTP="off"):
        assert " ACME " in place.watch()


@pytest.mark.real
def test_the_source_of_another_package(place):
    port = f"tcp:{place.port}:interface=127.0.0.1"
    arguments = ("--pidfile=", "-n", "tickstorm", "--port", port, "--http", "off", "--source")
    with place.run("twistd", *arguments, "quotes:ACME"):
        assert " ACME " in place.watch()
    with place.run("twistd", *arguments, "quotes:not a symbol") as refused:
        assert refused.output() == "tickstorm: quotes: 'not a symbol' is not a symbol\n"


@pytest.mark.real
def test_the_test_of_the_source(place):
    with place.run("python", "-m", "pytest", "-q", "test_quotes.py") as testing:
        assert "1 passed" in testing.output()


@pytest.mark.real
def test_the_auctions_of_a_program(place):
    with serving() as server:
        program = place.folder / "open_auction.py"
        program.write_text(program.read_text().replace("9090", str(server.page)))
        with place.run("python", program) as running:
            assert running.output() == "1 5.00\nUNSOLD\n"


def test_the_authenticator_by_certificate(place):
    names = runpy.run_path(str(place.folder / "certificate_names.py"))
    authenticator = names["CertificateNames"](["desk-1"])
    assert verifyObject(IAuthenticator, authenticator)
    login = Login("desk-1", "")
    assert authenticator.authenticate(login, Peer("10.0.0.1", "desk-1")) == User("desk-1")
    for user, certificate in [("desk-1", None), ("desk-1", "desk-2"), ("desk-2", "desk-1")]:
        with pytest.raises(NotPermitted):
            authenticator.authenticate(Login(user, ""), Peer("10.0.0.1", certificate))


def test_the_checkers_of_cred(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    (place.folder / "passwords.txt").write_text("alice:wonderland\n")
    server = Server(runpy.run_path("members.py")["authenticator"])
    right, wrong = server.connect(), server.connect()
    right.send(auth("alice", "wonderland"))
    wrong.send(auth("alice", "looking-glass"))
    assert (right.names(), wrong.names()) == (["ACK"], ["INVALID_AUTH"])


def verified(text, key):
    """What a token says that is good now."""
    name, users, _ = Tokens(read_key(key)).verify(text, time.time())
    return (name, users)


def test_the_tokens_of_both_kinds(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    (place.folder / "signing.pem").write_bytes(PRIVATE_PEM)
    (place.folder / "secret.txt").write_bytes(SECRET + b"\n")
    making = runpy.run_path("make_tokens.py")
    alice = ("alice", {42, 43})
    assert verified(making["by_key"](), PUBLIC_PEM) == alice
    assert verified(making["by_secret"](), SECRET + b"\n") == alice
    assert len(json.dumps(making["claims"](), separators=(",", ":"))) == 50


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_keys_of_tokens(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    section = AUCTION.partition("\n## Tokens")[2].partition("\n## ")[0]
    for command in re.findall(r"^\$ (openssl .*)$", section, re.MULTILINE):
        subprocess.run(["sh", "-ec", command], check=True, capture_output=True)
    making = runpy.run_path("make_tokens.py")
    for make, file in (("by_key", "verifying.pem"), ("by_secret", "secret.txt")):
        assert verified(making[make](), Path(file).read_bytes()) == ("alice", {42, 43})


# What operators are told.


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The address of a real server's pages."""
    port, http = (f"tcp:{free_port()}:interface=127.0.0.1" for _ in range(2))
    arguments = ("--pidfile=", "-n", "tickstorm", "--port", port, "--http", http)
    with Process(tmp_path_factory.mktemp("pages"), "twistd", *arguments) as server:
        server.wait_for("listening for operators")
        yield f"http://127.0.0.1:{http.split(':')[1]}"


def fetch(url):
    with urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.real
def test_every_metric_is_in_the_table(pages):
    optional = {("process_open_fds", "gauge")}  # not on an older Linux
    table = {(row[0], row[1]) for row in rows(OPERATIONS, "## Metrics")}
    given = re.findall(r"^# TYPE (\S+) (\w+)$", fetch(f"{pages}/metrics"), re.MULTILINE)
    assert table - optional == set(given) - optional


@pytest.mark.real
def test_every_metric_of_auctions_is_in_their_table(tmp_path):
    auction, http = (f"tcp:{free_port()}:interface=127.0.0.1" for _ in range(2))
    port = f"tcp:{free_port()}:interface=127.0.0.1"
    arguments = ("--port", port, "--auction", auction, "--http", http)
    with Process(tmp_path, "twistd", "--pidfile=", "-n", "tickstorm", *arguments) as server:
        server.wait_for("listening for bidders")
        text = fetch(f"http://127.0.0.1:{http.split(':')[1]}/metrics")
    given = re.findall(r"^# TYPE (tickstorm_auction_\S+) (\w+)$", text, re.MULTILINE)
    assert {(row[0], row[1]) for row in rows(AUCTION, "## Numbers")} == set(given)


@pytest.mark.real
def test_the_connection_shown_has_every_field(pages):
    shown = [json.loads(text) for text in blocks("json")]
    (connections,) = (page for page in shown if "connections" in page)
    assert connections.keys() == json.loads(fetch(f"{pages}/connections")).keys()
    (log,) = (entry for entry in shown if "logger" in entry)
    described = {name for row in rows(OPERATIONS, "## Logs") for name in row[0].split(", ")}
    assert set(log) <= described


@pytest.mark.real
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_certificates_and_the_commands_that_use_them(place):
    section = OPERATIONS.partition("## TLS")[2].partition("\n## ")[0]
    shown = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
    *making, serving, watching = (line.replace("8443", str(place.port)) for line in shown)
    for command in making:
        subprocess.run(["sh", "-ec", command], cwd=place.folder, check=True, capture_output=True)
    _, *serve = shlex.split(serving)
    _, _, address = shlex.split(watching)
    with place.run("twistd", "--pidfile=", *serve, "--http", "off"):
        assert " SIM" in place.watch(address)

    (web,) = (line for line in commands() if "tickstormtls:" in line)
    (place.folder / "www").mkdir()
    port = free_port()
    with place.run(
        "twistd", "--pidfile=", *shlex.split(web.replace("8443", str(port)))[1:]
    ) as site:
        site.wait_for(r"\(TLS\) starting on|starting on")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            context = ssl.create_default_context(cafile=place.folder / "ca.pem")
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                assert tls.version() == "TLSv1.3"
