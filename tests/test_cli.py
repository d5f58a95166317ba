"""The command line as a whole: its help, its errors, and how little it loads for them."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tickstorm import __version__
from tickstorm.cli import main

HEAVY = ("twisted", "rich", "google.protobuf", "asyncio", "txaio")


def run(*arguments, env=None):
    done = CliRunner().invoke(main, arguments, env=env)
    return done.exit_code, done.stdout, done.stderr


def loaded_by(*arguments):
    program = (
        "import sys\nfrom tickstorm.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        f"finally: print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("watch", "--help"),
        ("record", "--help"),
        ("publish", "--help"),
        ("bid", "--help"),
        ("bid", "a:1", "1", "7", "nonsense"),
        ("decode", "--help"),
        ("config", "env"),
        ("health", "--http", "nonsense"),
        ("auction", "create", "--help"),
        ("auction", "list", "--http", "nonsense"),
    ],
)
def test_what_needs_nothing_loads_nothing(arguments):
    assert loaded_by(*arguments) == []


def test_decode_loads_only_the_messages():
    assert loaded_by("decode", "--hex", "00") == ["google.protobuf"]


@pytest.mark.parametrize(
    "module",
    [
        "bid_board",
        "bid_words",
        "board",
        "captures",
        "dissection",
        "event_text",
        "frame_text",
        "line_editor",
        "recorder",
        "recording_text",
        "screen",
        "tcp_streams",
        "text",
        "tick_text",
    ],
)
def test_what_formats_is_pure(module):
    program = (
        f"import sys, tickstorm.commands.{module}\n"
        "print(*(name for name in ('twisted', 'asyncio', 'click', 'rich') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"\n"


def test_version():
    assert run("--version") == (0, f"tickstorm {__version__}\n", "")


def test_help_names_the_commands():
    code, output, _ = run("--help")
    assert code == 0
    commands = output.partition("Commands:\n")[2]
    assert [line.split()[0] for line in commands.splitlines()] == [
        "auction",
        "bench",
        "bid",
        "config",
        "decode",
        "health",
        "publish",
        "record",
        "watch",
    ]
    assert "..." not in commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wach",), "No such command 'wach'. Did you mean 'watch'?"),
        (("watch", "--mod", "tick"), "No such option '--mod'. Did you mean '--mode'?"),
        (("watch", "--mode", "hour"), "'hour' is not one of 'second', 'minute', 'tick'."),
        (("watch", "--symbols", "A,b c"), "'B C' is not 1 to 16 of A-Z 0-9 . _ -"),
        (("watch", "--symbols", ""), "'' is not 1 to 16 of A-Z 0-9 . _ -"),
        (
            ("watch", "--symbols", ",".join(f"S{n}" for n in range(101))),
            "101 symbols are over 100",
        ),
        (
            ("watch", "--symbols", "EUR*,*A"),
            "'*A' is not 1 to 16 of A-Z 0-9 . _ -, nor a beginning with * behind it",
        ),
        (("watch", "--interval", "9ms"), '\'9ms\' is not a duration from "10ms" to "3600s"'),
        (("watch", "--interval", "soon"), "'soon' is not a duration from"),
        (("watch", "--interval", "10.5ms"), "'10.5ms' is not in whole milliseconds"),
        (("watch", "--since", "then"), "time 'then' is neither ISO 8601 nor a number"),
        (("watch", "--since", "2026-01-05T09:30:00"), "time '2026-01-05T09:30:00' has no zone"),
        (("watch", "--since", "9000h"), "'9000h' is not a duration as 10m, of at most a year"),
        (("watch", "--overload", "wait"), "is not one of 'conflate', 'drop-oldest', 'disconnect'"),
        (("watch", "--count", "0"), "0 is not in the range x>=1."),
        (("watch", "--user", "u"), "No password: give --password or set STREAM_PASS."),
        (("record",), "Missing argument 'FILE'."),
        (("record", "a", "b", "c"), "Got unexpected extra argument (b)"),
        (("health", "--timeout", "0"), "0.0 is not in the range 0<x<=3600."),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, words):
    nobody = dict.fromkeys(("STREAM_USER", "STREAM_PASS", "AUTH_USERNAME", "AUTH_PASSWORD"), "")
    code, output, errors = run(*arguments, env=nobody)
    assert (code, output) == (2, "")
    assert words in errors.splitlines()[-1]


def test_an_address_that_is_none_is_one_line_and_exit_code_1():
    code, output, errors = run("watch", "nonsense", "--user", "u", "--password", "p")
    assert (code, output) == (1, "")
    assert errors.startswith("tickstorm: address 'nonsense': ")
    assert errors.count("\n") == 1


# Settings.


def test_config_check(tmp_path):
    file = tmp_path / "tickstorm.toml"
    file.write_text('http = "off"\n')
    assert run("config", "check", str(file)) == (0, f"{file}: can be used\n", "")
    file.write_text('htp = "off"\n')
    assert run("config", "check", str(file)) == (
        1,
        "",
        f"Error: htp in {file}: there is no such setting; did you mean http?\n",
    )


def test_config_check_refuses_a_publisher_who_cannot_log_in(tmp_path):
    file = tmp_path / "tickstorm.toml"
    file.write_text('username = "ada"\npassword = "hunter2"\npublishers = ["bob:*"]\n')
    assert run("config", "check", str(file)) == (
        1,
        "",
        f'Error: publishers in {file}: ["bob:*"] has somebody who cannot log in: there is only '
        f'username, which is "ada" (username in {file})\n',
    )


def test_config_check_without_a_file_looks_at_the_environment():
    assert run("config", "check") == (0, "the environment: can be used\n", "")
    code, output, errors = run("config", "check", env={"MAX_CONNECTIONS": "many"})
    assert (code, output) == (1, "")
    assert errors.startswith("Error: MAX_CONNECTIONS in the environment: 'many' is not ")


def test_config_show_hides_secrets_and_says_where_from():
    env = {"STREAM_USER": "alice", "STREAM_PASS": "wonder-land"}
    code, output, errors = run("config", "show", env=env)
    assert (code, errors) == (0, "")
    assert 'username = "alice"  # STREAM_USER in the environment\n' in output
    assert "wonder-land" not in output


def test_config_defaults_is_a_file_that_can_be_used(tmp_path):
    file = tmp_path / "tickstorm.toml"
    code, output, _ = run("config", "defaults")
    file.write_text(output)
    assert code == 0
    assert run("config", "check", str(file))[0] == 0


def test_config_env_has_both_spellings_in_one_table():
    code, output, _ = run("config", "env")
    lines = output.splitlines()
    assert code == 0
    assert lines[0].split() == ["VARIABLE", "SETTING", "DEFAULT"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["HEARTBEAT_INTERVAL"] == rows["HEARTBEAT_INTERVAL_MS"]
    assert rows["STREAM_USER"] == ["username"]
    assert rows["LISTEN_ADDR"] == ["port", '["tcp:8080:interface=127.0.0.1"]']
