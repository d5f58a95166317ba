"""All there is to set: each field of `Settings` carries its default and everything else about it.

What a value may be, its names in the environment and its line of documentation stand beside the
default, and `SETTINGS` is the same as a table. Parsing, printing and checking read nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal, NamedTuple

from tickstorm.admission import Network
from tickstorm.descriptions import completed, is_local, parse_description
from tickstorm.frames import MAX_PAYLOAD_BYTES
from tickstorm.history import HistoryLimits
from tickstorm.kinds import (
    CLIENT_AUTH,
    FLAG,
    NETWORKS,
    PATH,
    PORT_OR_OFF,
    PORTS,
    PUBLISH_RIGHTS,
    SOURCES,
    WORKERS,
    Kind,
    duration,
    matching,
    one_of,
    whole,
    word,
)
from tickstorm.publishing import RATE, PublishRight

HISTORY = HistoryLimits()

PREFIX = "TICKSTORM_"
"""Each setting's own name in the environment is this and its field's name in capitals."""


class Delivery(Enum):
    """When the subscribers of SECOND and MINUTE get their batch."""

    ALIGNED = "aligned"
    SPREAD = "spread"


class Origin(NamedTuple):
    """Where a value was set: the name that was used for it, and the place."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} in {self.place}" if self.place else self.name


class Setting(NamedTuple):
    """One row of the table.

    Attributes:
        name: the field of `Settings`, and the key in TOML.
        default: as `Settings` has it.
        kind: what it may be.
        doc: one line, with the unit.
        environment: its names there, its own first.
        secret: whether its value is never to be shown.
    """

    name: str
    default: Any
    kind: Kind
    doc: str
    environment: tuple[str, ...]
    secret: bool


def _is(kind: Kind, doc: str, *environment: str, secret: bool = False) -> dict[str, Any]:
    return {"kind": kind, "doc": doc, "environment": environment, "secret": secret}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told. Times are seconds.

    Attributes:
        origins: where `load` found each value that is not the default, by field.
    """

    port: tuple[str, ...] = field(
        default=("tcp:8080:interface=127.0.0.1",),
        metadata=_is(PORTS, "Where subscribers connect: Twisted's endpoints.", "LISTEN_ADDR"),
    )
    http: str = field(
        default="tcp:9090:interface=127.0.0.1",
        metadata=_is(PORT_OR_OFF, "Where metrics and health are served over HTTP."),
    )
    source: tuple[str, ...] = field(
        default=("walk:",), metadata=_is(SOURCES, "Where the ticks come from.")
    )
    delivery: Delivery = field(
        default=Delivery.ALIGNED,
        metadata=_is(
            one_of({delivery.value: delivery for delivery in Delivery}),
            "When a period's batch goes out: to all at its end, or to each at a moment of its own.",
        ),
    )
    workers: int | Literal["auto"] = field(
        default=0,
        metadata=_is(
            WORKERS,
            "Processes that serve subscribers; 0: this one alone; auto: as many as there are "
            "processors, or as max_connections asks for.",
        ),
    )
    log_format: Literal["json", "text"] = field(
        default="json",
        metadata=_is(word("json", "text"), "One JSON object a line, or text.", "LOG_FORMAT"),
    )
    log_level: Literal["debug", "info", "warn", "error", "critical"] = field(
        default="info",
        metadata=_is(
            word("debug", "info", "warn", "error", "critical", also={"warning": "warn"}),
            "The least level that is logged.",
            "LOG_LEVEL",
        ),
    )
    username: str = field(
        default="",
        metadata=_is(
            matching(r"[A-Za-z0-9_-]{0,64}", "at most 64 of A-Z a-z 0-9 _ -"),
            "The name that subscribers log in with; none, and only this machine may connect.",
            "STREAM_USER",
            "AUTH_USERNAME",
        ),
    )
    password: str = field(
        default="",
        repr=False,
        metadata=_is(
            matching(r".{0,128}", "text of at most 128 characters"),
            "The password that belongs to it; better set in the environment than in a file.",
            "STREAM_PASS",
            "AUTH_PASSWORD",
            secret=True,
        ),
    )
    publishers: tuple[PublishRight, ...] = field(
        default=(),
        metadata=_is(PUBLISH_RIGHTS, "Who may publish, and which symbols: nobody unless set."),
    )
    publish_rate: int = field(
        default=round(RATE.per_second),
        metadata=_is(whole(1_000, 1_000_000_000, "ticks a second"), "What one user may publish."),
    )
    history: float = field(
        default=HISTORY.seconds,
        metadata=_is(
            duration(0, 86_400),
            "How long what was sent is kept, for those who come back or ask for it; 0: not at all.",
        ),
    )
    history_bytes: int = field(
        default=HISTORY.total_bytes,
        metadata=_is(whole(0, 2**40, "bytes"), "What is kept of all streams together."),
    )
    history_stream_bytes: int = field(
        default=HISTORY.stream_bytes,
        metadata=_is(whole(0, 2**40, "bytes"), "What is kept of one stream."),
    )
    max_intervals: int = field(
        default=32,
        metadata=_is(
            whole(0, 1_000),
            "Intervals that subscribers may have beside a second and a minute, all together.",
        ),
    )
    max_connections: int = field(
        default=100_000,
        metadata=_is(whole(1, 10_000_000), "Connections at once, in all.", "MAX_CONNECTIONS"),
    )
    max_connections_per_address: int = field(
        default=0,
        metadata=_is(whole(0, 10_000_000), "Connections at once from one address; 0: no limit."),
    )
    allow: tuple[Network, ...] = field(
        default=(),
        metadata=_is(NETWORKS, "Unless empty, only addresses in these networks may connect."),
    )
    block: tuple[Network, ...] = field(
        default=(),
        metadata=_is(NETWORKS, "Addresses in these networks may not, even if they are in allow."),
    )
    max_login_failures: int = field(
        default=10,
        metadata=_is(whole(1, 1000), "Failed logins of one address within login_failure_window."),
    )
    login_failure_window: float = field(
        default=60.0,
        metadata=_is(duration(0.001, 86_400), "How long a failed login counts."),
    )
    auth_timeout: float = field(
        default=10.0,
        metadata=_is(duration(0.001, 3600), "The time to log in, from the connection on."),
    )
    heartbeat_interval: float = field(
        default=15.0,
        metadata=_is(
            duration(0.001, 86_400),
            "How often clients are told to send a heartbeat.",
            "HEARTBEAT_INTERVAL",
            "HEARTBEAT_INTERVAL_MS",
        ),
    )
    heartbeat_timeout: float = field(
        default=20.0,
        metadata=_is(
            duration(0.001, 86_400),
            "A client silent for this long is cut; longer than heartbeat_interval.",
            "HEARTBEAT_TIMEOUT",
            "HEARTBEAT_TIMEOUT_MS",
        ),
    )
    batch_window: float = field(
        default=0.005,
        metadata=_is(
            duration(0, 1),
            "How long ticks are collected into one batch of a TICK stream; 0: not at all.",
            "BATCH_WINDOW_MS",
        ),
    )
    max_message_bytes: int = field(
        default=MAX_PAYLOAD_BYTES,
        metadata=_is(whole(32_768, 2**24, "bytes"), "A frame's payload at most.", "MAX_MSG_SIZE"),
    )
    max_symbols: int = field(
        default=10_000,
        metadata=_is(whole(1, 1_000_000), "Symbols in all; ticks of one more are refused."),
    )
    write_deadline: float = field(
        default=5.0,
        metadata=_is(
            duration(0.001, 3600),
            "A client that reads nothing for this long, with data waiting, is cut.",
            "WRITE_DEADLINE_MS",
        ),
    )
    lossy_write_deadline: float = field(
        default=60.0,
        metadata=_is(
            duration(0.001, 86_400),
            "The same for a client that chose to have ticks conflated or dropped.",
        ),
    )
    max_write_queue: int = field(
        default=1000,
        metadata=_is(
            whole(1, 1_000_000, "frames"),
            "What may wait for a client that does not keep up.",
            "MAX_WRITE_QUEUE_SIZE",
        ),
    )
    max_write_queue_bytes: int = field(
        default=4 * 2**20,
        metadata=_is(whole(32_780, 2**30, "bytes"), "The same, in bytes: whichever comes first."),
    )
    soft_write_queue_bytes: int = field(
        default=2**20,
        metadata=_is(
            whole(1, 2**30, "bytes"),
            "What may wait for a client that chose so before its ticks are conflated or dropped.",
        ),
    )
    max_backlog_bytes: int = field(
        default=256 * 2**20,
        metadata=_is(
            whole(2**20, 2**44, "bytes"),
            "What may wait for all clients together; beyond it those with the most are cut.",
        ),
    )
    tcp_keepalive: bool = field(
        default=True, metadata=_is(FLAG, "Whether the kernel probes silent peers.")
    )
    tcp_read_buffer_bytes: int = field(
        default=0,
        metadata=_is(
            whole(0, 2**30, "bytes"),
            "Receive buffer of each socket; 0: the kernel's own.",
            "TCP_READ_BUFFER_SIZE",
        ),
    )
    tcp_write_buffer_bytes: int = field(
        default=0,
        metadata=_is(
            whole(0, 2**30, "bytes"),
            "Send buffer of each socket; 0: the kernel's own.",
            "TCP_WRITE_BUFFER_SIZE",
        ),
    )
    tcp_unsent_bytes: int = field(
        default=32 * 2**10,
        metadata=_is(
            whole(0, 2**30, "bytes"),
            "What the kernel takes of each socket's data before it can send it; 0: what its send "
            "buffer holds.",
        ),
    )
    tls_enabled: bool = field(
        default=False,
        metadata=_is(
            FLAG,
            "Whether the default port, or LISTEN_ADDR, is tls:; true if unset but tls_cert is set. "
            "Other ports say themselves what they are.",
            "TLS_ENABLED",
        ),
    )
    tls_cert: str = field(
        default="",
        metadata=_is(
            PATH,
            "The server's certificate and its chain, PEM, for each tls:PORT without cert=.",
            "TLS_CERT_FILE",
            "TLS_CERT_PATH",
        ),
    )
    tls_key: str = field(
        default="",
        metadata=_is(PATH, "The key that belongs to it, PEM.", "TLS_KEY_FILE", "TLS_KEY_PATH"),
    )
    tls_ca: str = field(
        default="",
        metadata=_is(
            PATH,
            "The authorities that clients' certificates are verified against, PEM.",
            "TLS_CA_FILE",
            "TLS_CA_PATH",
        ),
    )
    tls_client_auth: Literal["none", "optional", "require"] = field(
        default="none",
        metadata=_is(
            CLIENT_AUTH,
            "Whether clients show a certificate; one that is shown must be valid.",
            "TLS_CLIENT_AUTH",
        ),
    )
    tls_min_version: Literal["1.3", "1.2"] = field(
        default="1.3", metadata=_is(word("1.3", "1.2"), "The oldest version of TLS that is spoken.")
    )
    feed_timeout: float = field(
        default=60.0,
        metadata=_is(
            duration(0.001, 604_800), "A feed silent for longer makes the server unready."
        ),
    )
    drain_delay: float = field(
        default=0.0,
        metadata=_is(
            duration(0, 3600),
            "How long a stopping server that says it is not ready goes on as if it were.",
        ),
    )
    drain_timeout: float = field(
        default=10.0,
        metadata=_is(
            duration(0, 3600),
            "How long a stopping server then waits for its clients; it closes them one after the "
            "other, over 80 % of that.",
        ),
    )
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False, compare=False)

    @property
    def port_descriptions(self) -> tuple[str, ...]:
        """`port`, with what each `tls:PORT` without `cert=` takes from the `tls_` settings."""
        return tuple(map(self._with_certificate, self.port))

    @property
    def http_descriptions(self) -> tuple[str, ...]:
        """`http`, completed likewise; nothing when it is off."""
        return (self._with_certificate(self.http),) if self.http else ()

    @property
    def exposed_ports(self) -> tuple[str, ...]:
        """Those of `port` that others than this machine can reach: they need a login."""
        return tuple(port for port in self.port if not is_local(port))

    @property
    def ports_without_certificate(self) -> tuple[str, ...]:
        """Those of `port` that take theirs from the `tls_` settings."""
        return tuple(port for port in self.port if _lacks_certificate(port))

    def _with_certificate(self, port: str) -> str:
        if not _lacks_certificate(port):
            return port
        client_auth = parse_description(port).named.get("clientAuth", self.tls_client_auth)
        verifies = client_auth != "none"
        added = {
            "cert": self.tls_cert,
            "key": self.tls_key,
            "clientCA": self.tls_ca if verifies else "",
            "clientAuth": client_auth if verifies else "",
            "min": self.tls_min_version,
        }
        return completed(port, added)


def _lacks_certificate(port: str) -> bool:
    description = parse_description(port)
    return description.is_own_tls and "cert" not in description.named


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(
        row.name,
        row.default,
        row.metadata["kind"],
        row.metadata["doc"],
        (PREFIX + row.name.upper(), *row.metadata["environment"]),
        row.metadata["secret"],
    )
    for row in fields(Settings)
    if row.metadata
)
"""The table: one row a setting, in the order of `Settings`."""
