import subprocess
import sys
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.admission import AdmissionLimits
from tickstorm.auction.bid_ids import BidIdLimits
from tickstorm.auction.book import BookLimits
from tickstorm.auction.dispatcher import DispatchLimits
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.permits import read_bid_right
from tickstorm.auction.redis_limits import RedisLimits
from tickstorm.auction.session import SessionLimits as BidSessionLimits
from tickstorm.config import (
    SETTINGS,
    Delivery,
    Settings,
    defaults_toml,
    describe,
    load,
)
from tickstorm.errors import ConfigError
from tickstorm.factory import MAX_BACKLOG_BYTES
from tickstorm.history import NO_HISTORY, HistoryLimits
from tickstorm.hub import HubLimits
from tickstorm.overload import BacklogLimits
from tickstorm.publishing import read_right
from tickstorm.session import SessionLimits
from tickstorm.transports import SocketOptions

CONF = Path(__file__).parent.parent / "conf" / "tickstorm.toml"
LOGIN = {"STREAM_USER": "ada", "STREAM_PASS": "hunter2"}
CERT = {"TLS_CERT_FILE": "/c.pem", "TLS_KEY_FILE": "/k.pem"}
CA = {"TLS_CA_FILE": "/ca.pem"}


def from_environment(**environ):
    return load(file=None, environ=environ, options={})


def from_options(**options):
    return load(file=None, environ={}, options=options)


@pytest.fixture
def from_toml(tmp_path):
    def loaded(text, **places):
        file = tmp_path / "t.toml"
        file.write_bytes(text.encode())
        return load(file=file, **({"environ": {}, "options": {}} | places))

    return loaded


def wrong(load_it, *args, **kwargs):
    """Return the one line that loading fails with."""
    with pytest.raises(ConfigError) as caught:
        load_it(*args, **kwargs)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# The defaults.


def test_defaults():
    settings = load(file=None, environ={"PATH": "/bin", "PORT": "1"}, options={})
    assert settings == Settings()
    assert {row.name: getattr(settings, row.name) for row in SETTINGS} == {
        "port": ("tcp:8080:interface=127.0.0.1",),
        "http": "tcp:9090:interface=127.0.0.1",
        "source": ("walk:",),
        "delivery": Delivery.ALIGNED,
        "workers": 0,
        "log_format": "json",
        "log_level": "info",
        "username": "",
        "password": "",
        "publishers": (),
        "publish_rate": 100_000,
        "history": 60.0,
        "history_bytes": 67_108_864,
        "history_stream_bytes": 4_194_304,
        "max_intervals": 32,
        "max_connections": 100_000,
        "max_connections_per_address": 0,
        "allow": (),
        "block": (),
        "max_login_failures": 10,
        "login_failure_window": 60.0,
        "auth_timeout": 10.0,
        "heartbeat_interval": 15.0,
        "heartbeat_timeout": 20.0,
        "batch_window": 0.005,
        "max_message_bytes": 65_536,
        "max_symbols": 10_000,
        "write_deadline": 5.0,
        "lossy_write_deadline": 60.0,
        "max_write_queue": 1000,
        "max_write_queue_bytes": 4_194_304,
        "soft_write_queue_bytes": 1_048_576,
        "max_backlog_bytes": 268_435_456,
        "tcp_keepalive": True,
        "tcp_read_buffer_bytes": 0,
        "tcp_write_buffer_bytes": 0,
        "tcp_unsent_bytes": 32_768,
        "tls_enabled": False,
        "tls_cert": "",
        "tls_key": "",
        "tls_ca": "",
        "tls_client_auth": "none",
        "tls_min_version": "1.3",
        "feed_timeout": 60.0,
        "drain_delay": 0.0,
        "drain_timeout": 10.0,
        "auction": (),
        "auction_auth": True,
        "auction_users": (),
        "auction_rate_per_user": 1_000,
        "auction_rate_per_address": 50_000,
        "auction_pipeline": 512,
        "auction_in_flight": 5_000,
        "auction_batch": 512,
        "auction_watched": 100,
        "auction_max": 10_000,
        "auction_bid_memory": 300.0,
        "redis": "",
        "redis_timeout": 1.0,
        "redis_replicas": 0,
        "redis_record": 0,
    }


def test_the_table_has_a_row_for_each_field():
    assert [row.name for row in SETTINGS] == [
        row.name for row in fields(Settings) if row.name != "origins"
    ]


def test_the_defaults_are_those_of_the_parts():
    s = Settings()
    assert AdmissionLimits() == AdmissionLimits(
        s.max_connections,
        s.max_connections_per_address,
        s.allow,
        s.block,
        s.max_login_failures,
        s.login_failure_window,
    )
    assert BacklogLimits() == (
        s.max_write_queue,
        s.max_write_queue_bytes,
        s.write_deadline,
        s.soft_write_queue_bytes,
        s.lossy_write_deadline,
    )
    assert s.max_backlog_bytes == MAX_BACKLOG_BYTES
    assert SessionLimits() == (
        s.auth_timeout,
        s.heartbeat_interval,
        s.heartbeat_timeout,
        s.max_message_bytes,
    )
    assert SocketOptions() == (
        s.tcp_keepalive,
        s.tcp_read_buffer_bytes,
        s.tcp_write_buffer_bytes,
        s.tcp_unsent_bytes,
    )
    assert HubLimits() == (s.max_symbols, s.max_message_bytes, s.max_intervals, NO_HISTORY)
    assert BidSessionLimits() == (s.auth_timeout, s.auction_pipeline, s.auction_watched)
    assert DispatchLimits() == (s.auction_in_flight, s.auction_batch)
    assert PaceLimits() == (s.auction_rate_per_user, s.auction_rate_per_address)
    assert BookLimits().auctions == s.auction_max
    assert BidIdLimits().keep_ms == s.auction_bid_memory * 1000
    assert RedisLimits() == (
        s.redis_timeout,
        s.auction_bid_memory * 1000,
        s.redis_record,
        s.redis_replicas,
    )
    assert HistoryLimits() == (s.history, s.history_stream_bytes, s.history_bytes, 1000)


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_each_default_is_allowed(row):
    written = list(row.default) if isinstance(row.default, tuple) else row.default
    if isinstance(row.default, Delivery):
        written = row.default.value
    assert row.kind.check(written) == row.default


# The environment.


@pytest.mark.parametrize(
    ("environ", "field", "value"),
    [
        ({"LISTEN_ADDR": "0.0.0.0:8080"}, "port", ("tcp:8080:interface=0.0.0.0",)),
        ({"LISTEN_ADDR": ":8080"}, "port", ("tcp:8080",)),
        ({"LISTEN_ADDR": "localhost:0"}, "port", ("tcp:0:interface=localhost",)),
        ({"LISTEN_ADDR": "[::]:8080"}, "port", (r"tcp6:8080:interface=\:\:",)),
        ({"LISTEN_ADDR": "[0:0::1]:65535"}, "port", (r"tcp6:65535:interface=\:\:1",)),
        ({"TICKSTORM_PORT": "tcp:1 tcp:2;tcp:3"}, "port", ("tcp:1", "tcp:2", "tcp:3")),
        ({"TICKSTORM_HTTP": "off"}, "http", ""),
        ({"TICKSTORM_HTTP": "tcp:90"}, "http", "tcp:90"),
        (
            {"TICKSTORM_SOURCE": "walk:rate=5;replay:a.csv"},
            "source",
            ("walk:rate=5", "replay:a.csv"),
        ),
        ({"TICKSTORM_DELIVERY": "spread"}, "delivery", Delivery.SPREAD),
        ({"LOG_FORMAT": "TEXT"}, "log_format", "text"),
        ({"LOG_LEVEL": "Warning"}, "log_level", "warn"),
        ({"LOG_LEVEL": "critical"}, "log_level", "critical"),
        ({**LOGIN}, "username", "ada"),
        ({**LOGIN}, "password", "hunter2"),
        ({"AUTH_USERNAME": "ada", "AUTH_PASSWORD": "p"}, "username", "ada"),
        ({"AUTH_USERNAME": "ada", "AUTH_PASSWORD": " p "}, "password", " p "),
        ({"MAX_CONNECTIONS": "50000"}, "max_connections", 50_000),
        (
            {"TICKSTORM_PUBLISHERS": "alice:*; bob:EUR*,GBPUSD"},
            "publishers",
            (read_right("alice:*"), read_right("bob:EUR*,GBPUSD")),
        ),
        (
            {"TICKSTORM_ALLOW": "10.0.0.0/8, ::1"},
            "allow",
            (ip_network("10.0.0.0/8"), ip_network("::1")),
        ),
        ({"TICKSTORM_LOGIN_FAILURE_WINDOW": "1m30s"}, "login_failure_window", 90.0),
        ({"TICKSTORM_AUTH_TIMEOUT": "2.5"}, "auth_timeout", 2.5),
        ({"HEARTBEAT_INTERVAL": "12s"}, "heartbeat_interval", 12.0),
        ({"HEARTBEAT_INTERVAL": "12"}, "heartbeat_interval", 12.0),
        ({"HEARTBEAT_INTERVAL_MS": "12000"}, "heartbeat_interval", 12.0),
        ({"HEARTBEAT_INTERVAL_MS": "12s"}, "heartbeat_interval", 12.0),
        ({"HEARTBEAT_TIMEOUT": "1h"}, "heartbeat_timeout", 3600.0),
        ({"HEARTBEAT_TIMEOUT_MS": "25000"}, "heartbeat_timeout", 25.0),
        ({"BATCH_WINDOW_MS": "0"}, "batch_window", 0.0),
        ({"BATCH_WINDOW_MS": "2.5"}, "batch_window", 0.0025),
        ({"TICKSTORM_BATCH_WINDOW": "1000ms"}, "batch_window", 1.0),
        ({"MAX_MSG_SIZE": "32768"}, "max_message_bytes", 32_768),
        ({"WRITE_DEADLINE_MS": "500"}, "write_deadline", 0.5),
        ({"MAX_WRITE_QUEUE_SIZE": "7"}, "max_write_queue", 7),
        ({"TCP_READ_BUFFER_SIZE": "65536"}, "tcp_read_buffer_bytes", 65_536),
        ({"TCP_WRITE_BUFFER_SIZE": "65536"}, "tcp_write_buffer_bytes", 65_536),
        ({"TICKSTORM_TCP_KEEPALIVE": "No"}, "tcp_keepalive", False),
        ({**CERT, "TLS_ENABLED": "1"}, "tls_enabled", True),
        ({**CERT, "TLS_ENABLED": "false"}, "tls_enabled", False),
        (CERT, "tls_enabled", True),
        (CERT, "tls_cert", "/c.pem"),
        (CERT, "tls_key", "/k.pem"),
        ({"TLS_CERT_PATH": "/c.pem", "TLS_KEY_PATH": "/k.pem"}, "tls_cert", "/c.pem"),
        ({"TLS_CERT_PATH": "/c.pem", "TLS_KEY_PATH": "/k.pem"}, "tls_key", "/k.pem"),
        ({"TLS_CA_FILE": "/ca", "TLS_CLIENT_AUTH": "none"}, "tls_ca", "/ca"),
        ({"TLS_CA_PATH": "/ca", "TLS_CLIENT_AUTH": "none"}, "tls_ca", "/ca"),
        ({"TICKSTORM_TLS_MIN_VERSION": "1.2"}, "tls_min_version", "1.2"),
    ],
)
def test_a_variable_sets_its_field(environ, field, value):
    assert getattr(from_environment(**environ), field) == value


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (["none", "NoClientCert"], "none"),
        (["request", "RequestClientCert", "verify", "VerifyClientCertIfGiven"], "optional"),
        (["optional"], "optional"),
        (["require", "RequireAnyClientCert"], "require"),
        (["require_verify", "RequireAndVerifyClientCert"], "require"),
    ],
)
def test_client_authentication_has_gos_names_too(words, meaning):
    for word in words:
        settings = from_environment(**CERT, **CA, TLS_CLIENT_AUTH=word)
        assert settings.tls_client_auth == meaning


def test_each_setting_has_a_variable_of_its_own():
    for row in SETTINGS:
        assert row.environment[0] == f"TICKSTORM_{row.name.upper()}"


def test_an_empty_variable_is_not_set():
    environ = {"LISTEN_ADDR": "", "TLS_CERT_PATH": "", "STREAM_PASS": "", "TICKSTORM_NO": ""}
    assert from_environment(**environ) == Settings()


def test_two_names_may_say_the_same():
    environ = {"HEARTBEAT_INTERVAL": "12s", "HEARTBEAT_INTERVAL_MS": "12000"}
    assert from_environment(**environ).heartbeat_interval == 12


@pytest.mark.parametrize(
    "environ",
    [
        {"STREAM_USER": "ada", "AUTH_USERNAME": "bob"},
        {"STREAM_PASS": "hunter2", "AUTH_PASSWORD": "hunter3"},
        {"TLS_CERT_FILE": "/a", "TLS_CERT_PATH": "/b"},
        {"HEARTBEAT_TIMEOUT": "30s", "HEARTBEAT_TIMEOUT_MS": "30"},
        {"LISTEN_ADDR": ":1", "TICKSTORM_PORT": "tcp:2"},
    ],
)
def test_two_names_may_not_differ(environ):
    first, second = environ
    assert wrong(from_environment, **environ) == (
        f"{first} and {second} in the environment: two names of one setting, with different values"
    )


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("MAX_CONNECTIONS", "-1", "a whole number from 1 to 10000000"),
        ("MAX_CONNECTIONS", "0", "a whole number from 1 to 10000000"),
        ("MAX_CONNECTIONS", "1e5", "a whole number from 1 to 10000000"),
        ("MAX_CONNECTIONS", "1.5", "a whole number from 1 to 10000000"),
        ("MAX_MSG_SIZE", "32767", "a whole number of bytes from 32768 to 16777216"),
        ("MAX_MSG_SIZE", "16777217", "a whole number of bytes from 32768 to 16777216"),
        (
            "HEARTBEAT_INTERVAL",
            "15 parsecs",
            'a duration from "1ms" to "86400s", or a number of seconds',
        ),
        ("HEARTBEAT_INTERVAL", "-15s", 'a duration from "1ms" to "86400s", or a number of seconds'),
        ("HEARTBEAT_INTERVAL", "nan", 'a duration from "1ms" to "86400s", or a number of seconds'),
        ("HEARTBEAT_INTERVAL", "inf", 'a duration from "1ms" to "86400s", or a number of seconds'),
        ("HEARTBEAT_INTERVAL", "0", 'a duration from "1ms" to "86400s", or a number of seconds'),
        ("BATCH_WINDOW_MS", "1001", 'a duration from "0s" to "1s", or a number of milliseconds'),
        ("BATCH_WINDOW_MS", "-5", 'a duration from "0s" to "1s", or a number of milliseconds'),
        ("TICKSTORM_DELIVERY", "sideways", 'one of "aligned", "spread"'),
        ("LOG_FORMAT", "xml", 'one of "json", "text"'),
        ("LOG_LEVEL", "loud", 'one of "debug", "info", "warn", "error", "critical"'),
        ("TLS_ENABLED", "maybe", "true or false"),
        ("TLS_CLIENT_AUTH", "sometimes", 'one of "none", "optional", "require"'),
        ("TICKSTORM_TLS_MIN_VERSION", "1.1", 'one of "1.3", "1.2"'),
        (
            "TICKSTORM_BLOCK",
            "10.0.0.1/8",
            'a list of networks such as "10.0.0.0/8" or "2001:db8::/32"',
        ),
        ("TICKSTORM_PORT", "8080", 'a list of endpoints such as "tcp:8080:interface=127.0.0.1"'),
        ("TICKSTORM_PORT", ";", 'a list of endpoints such as "tcp:8080:interface=127.0.0.1"'),
        ("TICKSTORM_HTTP", "none", 'an endpoint such as "tcp:9090:interface=127.0.0.1", or "off"'),
        ("TICKSTORM_SOURCE", "walk", 'a list of sources such as "walk:" or "replay:FILE"'),
        ("STREAM_USER", "ada lovelace", "at most 64 of A-Z a-z 0-9 _ -"),
        ("STREAM_USER", "a" * 65, "at most 64 of A-Z a-z 0-9 _ -"),
    ],
)
def test_a_bad_variable_names_itself_and_what_is_allowed(name, text, allowed):
    assert wrong(from_environment, **{name: text}) == (
        f"{name} in the environment: {text!r} is not {allowed}"
    )


@pytest.mark.parametrize(
    "text",
    ["8080", ":", ":65536", ":http", "1.2.3.4.5 :80", "[::g]:80", "[127.0.0.1]:80", "::1:80"],
)
def test_a_bad_address(text):
    assert wrong(from_environment, LISTEN_ADDR=text) == (
        f"LISTEN_ADDR in the environment: {text!r} is not "
        'an address and a port such as "0.0.0.0:8080", ":8080" or "[::]:8080"'
    )


def test_a_long_value_is_cut():
    assert wrong(from_environment, LOG_LEVEL="x" * 1000) == (
        f"LOG_LEVEL in the environment: '{'x' * 99}... is not "
        'one of "debug", "info", "warn", "error", "critical"'
    )


def test_an_unknown_variable_with_our_prefix():
    assert wrong(from_environment, TICKSTORM_MAX_CONECTIONS="5") == (
        "TICKSTORM_MAX_CONECTIONS in the environment: there is no such setting; "
        "did you mean TICKSTORM_MAX_CONNECTIONS?"
    )


def test_what_kubernetes_says_of_services_is_not_ours():
    links = {
        "TICKSTORM_SERVICE_HOST": "10.0.0.7",
        "TICKSTORM_SERVICE_PORT": "8080",
        "TICKSTORM_SERVICE_PORT_STREAM": "8080",
        "TICKSTORM_PORT": "tcp://10.0.0.7:8080",
        "TICKSTORM_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        "TICKSTORM_PORT_8080_TCP_PROTO": "tcp",
        "TICKSTORM_PORT_8080_TCP_PORT": "8080",
        "TICKSTORM_PORT_8080_TCP_ADDR": "10.0.0.7",
        "TICKSTORM_METRICS_SERVICE_HOST": "10.0.0.8",
        "TICKSTORM_METRICS_PORT": "tcp://10.0.0.8:9090",
    }
    assert from_environment(**links) == Settings()
    assert from_environment(**{**links, "TICKSTORM_PORT": "tcp:5"}).port == ("tcp:5",)


def test_a_url_is_no_port_outside_of_kubernetes():
    assert wrong(from_environment, TICKSTORM_PORT="tcp://10.0.0.7:8080") == (
        "TICKSTORM_PORT in the environment: 'tcp://10.0.0.7:8080' is not "
        'a list of endpoints such as "tcp:8080:interface=127.0.0.1"'
    )


# The file.


def test_a_file_sets_each_kind_of_value(from_toml):
    settings = from_toml(
        """
        port = ["tcp:8080", "unix:/run/t s.sock"]
        http = ""
        source = []
        delivery = "spread"
        max_connections = 5
        allow = ["10.0.0.0/8", "::1"]
        auth_timeout = "500ms"
        heartbeat_timeout = 21
        batch_window = 0.25
        tcp_keepalive = false
        """
    )
    assert settings == Settings(
        port=("tcp:8080", "unix:/run/t s.sock"),
        http="",
        source=(),
        delivery=Delivery.SPREAD,
        max_connections=5,
        allow=(ip_network("10.0.0.0/8"), ip_network("::1/128")),
        auth_timeout=0.5,
        heartbeat_timeout=21.0,
        batch_window=0.25,
        tcp_keepalive=False,
    )
    assert isinstance(settings.heartbeat_timeout, float)


DURATION = 'a duration from "1ms" to "3600s", or a number of seconds'
PUBLISHERS = 'a list of users and what they may publish, such as "alice:*" or "bob:EUR*,GBPUSD"'
PORTS = 'a list of endpoints such as "tcp:8080:interface=127.0.0.1"'


@pytest.mark.parametrize(
    ("line", "shown", "allowed"),
    [
        ('max_connections = "5"', "'5'", "a whole number from 1 to 10000000"),
        ('publishers = ["alice"]', "['alice']", PUBLISHERS),
        ('publishers = "alice:*"', "'alice:*'", PUBLISHERS),
        ('publishers = ["alice:eur"]', "['alice:eur']", PUBLISHERS),
        ("max_connections = true", "True", "a whole number from 1 to 10000000"),
        ("max_connections = 5.0", "5.0", "a whole number from 1 to 10000000"),
        ("max_connections = -5", "-5", "a whole number from 1 to 10000000"),
        ("max_connections = [5]", "[5]", "a whole number from 1 to 10000000"),
        ("auth_timeout = true", "True", DURATION),
        ("auth_timeout = nan", "nan", DURATION),
        ("auth_timeout = inf", "inf", DURATION),
        ("auth_timeout = -1", "-1", DURATION),
        (f"auth_timeout = {'9' * 90}", "9" * 90, DURATION),
        ('auth_timeout = "15 parsecs"', "'15 parsecs'", DURATION),
        ('auth_timeout = ""', "''", DURATION),
        ("auth_timeout = 07:32:00", "datetime.time(7, 32)", DURATION),
        ("tcp_keepalive = 1", "1", "true or false"),
        ('tcp_keepalive = "true"', "'true'", "true or false"),
        ("delivery = 1", "1", 'one of "aligned", "spread"'),
        ('delivery = "sideways"', "'sideways'", 'one of "aligned", "spread"'),
        ("tls_min_version = 1.3", "1.3", 'one of "1.3", "1.2"'),
        ('port = "tcp:8080"', "'tcp:8080'", PORTS),
        ("port = [8080]", "[8080]", PORTS),
        ("port = []", "[]", PORTS),
        ('port = ["tcp:65536"]', "['tcp:65536']", PORTS),
        ("allow = [5]", "[5]", 'a list of networks such as "10.0.0.0/8" or "2001:db8::/32"'),
        (r'tls_cert = "a\nb"', r"'a\nb'", "the path of a file"),
        ("username = 5", "5", "at most 64 of A-Z a-z 0-9 _ -"),
    ],
)
def test_a_bad_value_in_a_file(from_toml, tmp_path, line, shown, allowed):
    key = line.split()[0]
    assert wrong(from_toml, line) == f"{key} in {tmp_path}/t.toml: {shown} is not {allowed}"


@pytest.mark.parametrize(
    ("line", "name", "hint"),
    [
        ("heartbeat_timout = 5", "heartbeat_timout", "did you mean heartbeat_timeout?"),
        ("max-symbols = 5", "max-symbols", "did you mean max_symbols?"),
        ("[tls]", "tls", "did you mean tls_ca?"),
        ("zzz = 1", "zzz", "conf/tickstorm.toml lists all"),
        (r'"a\nb" = 1', r"'a\nb'", "conf/tickstorm.toml lists all"),
        ("origins = {}", "origins", "conf/tickstorm.toml lists all"),
    ],
)
def test_an_unknown_key(from_toml, tmp_path, line, name, hint):
    assert wrong(from_toml, line) == (
        f"{name} in {tmp_path}/t.toml: there is no such setting; {hint}"
    )


def test_bad_syntax_names_the_line(from_toml, tmp_path):
    assert wrong(from_toml, 'http = ""\nport = [\n]]\n') == (
        f"{tmp_path}/t.toml: is not TOML: "
        "Expected newline or end of document after a statement (at line 3, column 2)"
    )


def test_files_that_cannot_be_read(tmp_path):
    def load_file(file):
        load(file=file, environ={}, options={})

    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'username = "\xe9"')
    assert wrong(load_file, tmp_path / "no") == (
        f"{tmp_path}/no: cannot be read: No such file or directory"
    )
    assert wrong(load_file, tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    assert wrong(load_file, latin) == f"{latin}: is not TOML: it is not UTF-8"


# Options, and which place wins.


def test_options_are_text_or_lists_of_it():
    options = {"port": ["tcp:1", "tcp:2"], "log-format": "text", "delivery": "spread"}
    assert load(file=None, environ={}, options=options) == Settings(
        port=("tcp:1", "tcp:2"), log_format="text", delivery=Delivery.SPREAD
    )


def test_options_not_given():
    assert from_options(port=[], source=(), http=None) == Settings()


def test_bad_options():
    assert wrong(from_options, log_level="loud") == (
        '--log-level: \'loud\' is not one of "debug", "info", "warn", "error", "critical"'
    )
    assert wrong(from_options, port=["tcp:eighty"]) == f"--port: ['tcp:eighty'] is not {PORTS}"
    assert wrong(from_options, sources="walk:") == (
        "--sources: there is no such setting; did you mean source?"
    )


def test_a_later_place_wins(from_toml):
    text = 'log_level = "debug"\nmax_symbols = 1\nlog_format = "text"'
    settings = from_toml(
        text,
        environ={"LOG_LEVEL": "warn", "TICKSTORM_MAX_SYMBOLS": "2"},
        options={"log_level": "error"},
    )
    assert settings == Settings(log_level="error", max_symbols=2, log_format="text")


def test_a_bad_value_counts_even_where_it_does_not_win(from_toml, tmp_path):
    message = wrong(from_toml, 'log_level = "loud"', options={"log_level": "info"})
    assert message.startswith(f"log_level in {tmp_path}/t.toml: 'loud' is not one of ")


# Ports.


@pytest.mark.parametrize(
    ("environ", "described"),
    [
        ({}, "tcp:8080:interface=127.0.0.1"),
        (CERT, "tls:8080:interface=127.0.0.1:cert=/c.pem:key=/k.pem:min=1.3"),
        ({**CERT, "TLS_ENABLED": "no"}, "tcp:8080:interface=127.0.0.1"),
        ({**CERT, "LISTEN_ADDR": ":80"}, "tls:80:cert=/c.pem:key=/k.pem:min=1.3"),
        (
            {**CERT, "LISTEN_ADDR": "[::]:80"},
            r"tls:80:interface=\:\::cert=/c.pem:key=/k.pem:min=1.3",
        ),
        (
            {
                **CERT,
                **CA,
                "LISTEN_ADDR": "0.0.0.0:8080",
                "TLS_CLIENT_AUTH": "require_verify",
                "TICKSTORM_TLS_MIN_VERSION": "1.2",
            },
            "tls:8080:interface=0.0.0.0:cert=/c.pem:key=/k.pem"
            ":clientCA=/ca.pem:clientAuth=require:min=1.2",
        ),
        (
            {
                **CERT,
                **CA,
                "TLS_CLIENT_AUTH": "none",
                "TICKSTORM_PORT": "tls:1:clientAuth=optional",
            },
            "tls:1:clientAuth=optional:cert=/c.pem:key=/k.pem:clientCA=/ca.pem:min=1.3",
        ),
        (
            {**CERT, **CA, "TLS_CLIENT_AUTH": "none", "TICKSTORM_PORT": "haproxy:tls:1"},
            "haproxy:tls:1:cert=/c.pem:key=/k.pem:min=1.3",
        ),
        ({**CERT, "TICKSTORM_PORT": "tcp:8080"}, "tcp:8080"),
        ({**CERT, "TICKSTORM_PORT": "tls:1:cert=/own.pem"}, "tls:1:cert=/own.pem"),
        ({**CERT, "TICKSTORM_PORT": "tls:/folder:443"}, "tls:/folder:443"),
        (
            {"TLS_CERT_FILE": r"C:\c.pem", "TLS_KEY_FILE": "/a=b"},
            r"tls:8080:interface=127.0.0.1:cert=C\:\\c.pem:key=/a=b:min=1.3",
        ),
    ],
)
def test_the_ports_are_completed(environ, described):
    assert from_environment(**environ).port_descriptions == (described,)


def test_the_ports_of_auctions_are_completed_too():
    settings = from_environment(**CERT, TICKSTORM_AUCTION="tls:8444;tcp:8081")
    assert settings.auction_descriptions == ("tls:8444:cert=/c.pem:key=/k.pem:min=1.3", "tcp:8081")
    assert Settings().auction_descriptions == ()


def test_a_port_of_auctions_is_exposed_if_it_asks_for_a_login():
    ports = ("tcp:1", "tcp:2:interface=127.0.0.1")
    assert Settings(auction=ports).exposed_ports == ("tcp:1",)
    assert Settings(auction=ports, auction_auth=False).exposed_ports == ()


def test_whom_a_login_may_bid_for(from_toml):
    settings = from_toml('auction_users = ["ada:1,2", "bob:*"]')
    assert settings.auction_users == tuple(map(read_bid_right, ("ada:1,2", "bob:*")))
    assert from_environment(TICKSTORM_AUCTION_USERS="ada:1,2;bob:*") == settings
    assert wrong(from_environment, TICKSTORM_AUCTION_USERS="ada:x") == (
        "TICKSTORM_AUCTION_USERS in the environment: 'ada:x' is not a list of logins and the users "
        'that they may bid for, such as "alice:42,43" or "bob:*"'
    )


def test_the_page_has_at_most_one_port():
    assert Settings().http_descriptions == ("tcp:9090:interface=127.0.0.1",)
    assert from_environment(TICKSTORM_HTTP="off").http_descriptions == ()
    assert from_environment(**CERT, TICKSTORM_HTTP="tls:9443").http_descriptions == (
        "tls:9443:cert=/c.pem:key=/k.pem:min=1.3",
    )


def test_a_tcp_port_from_the_file_stays_and_a_tls_port_is_completed(from_toml):
    settings = from_toml(
        'port = ["tcp:8080:interface=127.0.0.1", "tls:8443"]\n'
        'tls_enabled = true\ntls_cert = "c"\ntls_key = "k"'
    )
    assert settings.port_descriptions == (
        "tcp:8080:interface=127.0.0.1",
        "tls:8443:cert=c:key=k:min=1.3",
    )


def test_exposed_ports():
    assert Settings().exposed_ports == ()
    assert Settings(port=("unix:/s", "tcp:1", "tls:2:interface=::1", "tcp:3")).exposed_ports == (
        "tcp:1",
        "tls:2:interface=::1",  # the colons are not escaped: the interface is empty
        "tcp:3",
    )


# What is written.


def test_the_file_of_the_project_is_the_table():
    assert CONF.read_text() == defaults_toml()


def test_the_file_of_the_project_changes_nothing():
    assert load(file=CONF, environ={}, options={}) == Settings()


def test_the_file_of_the_project_says_the_defaults(from_toml):
    keys = [
        line[1:] for line in CONF.read_text().splitlines() if line[:1] == "#" != line[:2].strip()
    ]
    assert [key.split()[0] for key in keys] == [row.name for row in SETTINGS]
    assert from_toml("\n".join(keys)) == Settings()


def test_what_is_described_is_what_was_loaded(from_toml):
    environ = {
        **CERT,
        **CA,
        "TLS_CLIENT_AUTH": "require",
        "LISTEN_ADDR": "[::]:0",
        "HEARTBEAT_TIMEOUT": "61.001s",
        "BATCH_WINDOW_MS": "0.25",
        "TICKSTORM_ALLOW": "::1,10.0.0.0/8",
        "TICKSTORM_HTTP": "off",
        "TICKSTORM_DELIVERY": "spread",
        "TICKSTORM_SOURCE": r'replay:"\x.csv',
    }
    settings = from_environment(**environ)
    assert from_toml(describe(settings)) == settings


def test_what_is_described_says_where_it_was_set(from_toml, tmp_path):
    settings = from_toml("max_symbols = 5", environ=LOGIN, options={"log_level": "warn"})
    lines = describe(settings).splitlines()
    assert f"max_symbols = 5  # max_symbols in {tmp_path}/t.toml" in lines
    assert 'username = "ada"  # STREAM_USER in the environment' in lines
    assert "# password is set, and not shown  # STREAM_PASS in the environment" in lines
    assert 'log_level = "warn"  # --log-level' in lines
    assert "tcp_keepalive = true  # the default" in lines


# Secrets.


def test_a_secret_is_not_shown():
    settings = from_environment(**LOGIN)
    assert settings.password == "hunter2"
    shown = [repr(settings), str(settings), f"{settings}", describe(settings), repr([settings])]
    assert not [text for text in shown if "hunter2" in text]


@pytest.mark.parametrize(
    "text",
    [
        'password = "hunter2"',
        'password = ["hunter2"]',
        f'password = "{"hunter2" * 20}"\nusername = "ada"',
        'pasword = "hunter2"',
        'password = "hunter2" x',
        'password = "hunter2',
        "password = hunter2",
        'password = "hunter2"\npassword = "hunter2"',
    ],
)
def test_no_error_shows_a_secret(from_toml, text):
    assert "hunter2" not in wrong(from_toml, text)


@pytest.mark.parametrize(
    "name", ["TLS_KEY_FILE", "TICKSTORM_PORT", "TICKSTORM_HTTP", "LISTEN_ADDR"]
)
@pytest.mark.parametrize("end", ["", "\nhunter2\n"])
def test_a_key_in_place_of_its_path_is_not_shown(name, end):
    text = f"tls:1:key=-----BEGIN PRIVATE KEY-----{end}"
    message = wrong(from_environment, **{name: text})
    assert message.startswith(f"{name} in the environment: the value, not shown here, is not ")


# Everything else.


@given(
    st.dictionaries(st.sampled_from([n for row in SETTINGS for n in row.environment]), st.text())
)
def test_any_environment_is_settings_or_one_line(environ):
    try:
        settings = from_environment(**environ)
    except ConfigError as error:
        assert str(error).isprintable() or not str(error).isascii()  # noqa: PT017
    else:
        assert isinstance(settings, Settings)


@given(
    st.dictionaries(
        st.sampled_from([row.name for row in SETTINGS]),
        st.recursive(
            st.text() | st.integers() | st.floats() | st.booleans(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_any_values_are_settings_or_one_line(values):
    try:
        settings = load(file=None, environ={}, options=values)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert isinstance(settings, Settings)


def test_the_configuration_is_pure():
    program = "import sys, tickstorm.config; print('twisted' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"
