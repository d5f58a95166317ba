"""What there is to set about subscribers, publishers and the process, and the defaults.

What a value may be, its names in the environment and its line of documentation stand beside the
default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from tickstorm.admission import Network
from tickstorm.declarations import Origin, setting
from tickstorm.descriptions import OwnTLS, lacks_certificate, with_certificate
from tickstorm.frames import MAX_PAYLOAD_BYTES, MIN_PAYLOAD_BYTES, OVERHEAD_BYTES
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
    duration,
    matching,
    one_of,
    whole,
    word,
)
from tickstorm.publishing import RATE, PublishRight

HISTORY = HistoryLimits()


class Delivery(Enum):
    """When the subscribers of SECOND and MINUTE get their batch."""

    ALIGNED = "aligned"
    SPREAD = "spread"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Those that hold whether there are auctions or not. Times are seconds.

    Attributes:
        origins: where `load` found each value that is not the default, by field.
    """

    port: tuple[str, ...] = setting(
        ("tcp:8080:interface=127.0.0.1",),
        PORTS,
        "Where subscribers connect: Twisted's endpoints.",
        "LISTEN_ADDR",
    )
    http: str = setting(
        "tcp:9090:interface=127.0.0.1",
        PORT_OR_OFF,
        "Where metrics and health are served over HTTP.",
    )
    source: tuple[str, ...] = setting(("walk:",), SOURCES, "Where the ticks come from.")
    delivery: Delivery = setting(  # noqa: RUF009 - it is a field
        Delivery.ALIGNED,
        one_of({delivery.value: delivery for delivery in Delivery}),
        "When a period's batch goes out: to all at its end, or to each at a moment of its own.",
    )
    workers: int | Literal["auto"] = setting(
        0,
        WORKERS,
        "Processes that serve subscribers and bidders; 0: this one alone; auto: as many as there "
        "are processors, or as max_connections asks for.",
    )
    log_format: Literal["json", "text"] = setting(
        "json", word("json", "text"), "One JSON object a line, or text.", "LOG_FORMAT"
    )
    log_level: Literal["debug", "info", "warn", "error", "critical"] = setting(
        "info",
        word("debug", "info", "warn", "error", "critical", also={"warning": "warn"}),
        "The least level that is logged.",
        "LOG_LEVEL",
    )
    username: str = setting(
        "",
        matching(r"[A-Za-z0-9_-]{0,64}", "at most 64 of A-Z a-z 0-9 _ -"),
        "The name that subscribers log in with; none, and only this machine may connect.",
        "STREAM_USER",
        "AUTH_USERNAME",
    )
    password: str = setting(
        "",
        matching(r".{0,128}", "text of at most 128 characters"),
        "The password that belongs to it; better set in the environment than in a file.",
        "STREAM_PASS",
        "AUTH_PASSWORD",
        secret=True,
    )
    publishers: tuple[PublishRight, ...] = setting(
        (), PUBLISH_RIGHTS, "Who may publish, and which symbols: nobody unless set."
    )
    publish_rate: int = setting(
        round(RATE.per_second),
        whole(1_000, 1_000_000_000, "ticks a second"),
        "What one user may publish.",
    )
    history: float = setting(
        HISTORY.seconds,
        duration(0, 86_400),
        "How long what was sent is kept, for those who come back or ask for it; 0: not at all.",
    )
    history_bytes: int = setting(
        HISTORY.total_bytes,
        whole(0, 2**40, "bytes"),
        "What is kept of all streams together; 0: nothing.",
    )
    history_stream_bytes: int = setting(
        HISTORY.stream_bytes, whole(0, 2**40, "bytes"), "What is kept of one stream."
    )
    max_intervals: int = setting(
        32,
        whole(0, 1_000),
        "Intervals that subscribers may have beside a second and a minute, all together.",
    )
    max_connections: int = setting(
        100_000, whole(1, 10_000_000), "Connections at once, in all.", "MAX_CONNECTIONS"
    )
    max_connections_per_address: int = setting(
        0, whole(0, 10_000_000), "Connections at once from one address; 0: no limit."
    )
    allow: tuple[Network, ...] = setting(
        (), NETWORKS, "Unless empty, only addresses in these networks may connect."
    )
    block: tuple[Network, ...] = setting(
        (), NETWORKS, "Addresses in these networks may not, even if they are in allow."
    )
    max_login_failures: int = setting(
        10, whole(1, 1000), "Failed logins of one address within login_failure_window."
    )
    login_failure_window: float = setting(
        60.0, duration(0.001, 86_400), "How long a failed login counts."
    )
    auth_timeout: float = setting(
        10.0, duration(0.001, 3600), "The time to log in, from the connection on."
    )
    heartbeat_interval: float = setting(
        15.0,
        duration(0.001, 86_400),
        "How often clients are told to send a heartbeat.",
        "HEARTBEAT_INTERVAL",
        "HEARTBEAT_INTERVAL_MS",
    )
    heartbeat_timeout: float = setting(
        20.0,
        duration(0.001, 86_400),
        "A client silent for this long is cut; longer than heartbeat_interval.",
        "HEARTBEAT_TIMEOUT",
        "HEARTBEAT_TIMEOUT_MS",
    )
    batch_window: float = setting(
        0.005,
        duration(0, 1),
        "How long ticks are collected into one batch of a TICK stream; 0: not at all.",
        "BATCH_WINDOW_MS",
    )
    max_message_bytes: int = setting(
        MAX_PAYLOAD_BYTES,
        whole(MIN_PAYLOAD_BYTES, 2**24, "bytes"),
        "A frame's payload at most.",
        "MAX_MSG_SIZE",
    )
    max_symbols: int = setting(
        10_000, whole(1, 1_000_000), "Symbols in all; ticks of one more are refused."
    )
    write_deadline: float = setting(
        5.0,
        duration(0.001, 3600),
        "A client that reads nothing for this long, with data waiting, is cut.",
        "WRITE_DEADLINE_MS",
    )
    lossy_write_deadline: float = setting(
        60.0,
        duration(0.001, 86_400),
        "The same for a client that chose to have ticks conflated or dropped.",
    )
    max_write_queue: int = setting(
        1000,
        whole(1, 1_000_000, "frames"),
        "What may wait for a client that does not keep up.",
        "MAX_WRITE_QUEUE_SIZE",
    )
    max_write_queue_bytes: int = setting(
        4 * 2**20,
        whole(MIN_PAYLOAD_BYTES + OVERHEAD_BYTES, 2**30, "bytes"),
        "The same, in bytes: whichever comes first.",
    )
    soft_write_queue_bytes: int = setting(
        2**20,
        whole(1, 2**30, "bytes"),
        "What may wait for a client that chose so before its ticks are conflated or dropped.",
    )
    max_backlog_bytes: int = setting(
        256 * 2**20,
        whole(2**20, 2**44, "bytes"),
        "What may wait for all clients together; beyond it those with the most are cut.",
    )
    tcp_keepalive: bool = setting(True, FLAG, "Whether the kernel probes silent peers.")
    tcp_read_buffer_bytes: int = setting(
        0,
        whole(0, 2**30, "bytes"),
        "Receive buffer of each socket; 0: the kernel's own.",
        "TCP_READ_BUFFER_SIZE",
    )
    tcp_write_buffer_bytes: int = setting(
        0,
        whole(0, 2**30, "bytes"),
        "Send buffer of each socket; 0: the kernel's own.",
        "TCP_WRITE_BUFFER_SIZE",
    )
    tcp_unsent_bytes: int = setting(
        32 * 2**10,
        whole(0, 2**30, "bytes"),
        "What the kernel takes of each socket's data before it can send it; 0: what its send "
        "buffer holds.",
    )
    tls_enabled: bool = setting(
        False,
        FLAG,
        "Whether the default port, or LISTEN_ADDR, is tls:; true if unset but tls_cert is set. "
        "Other ports say themselves what they are.",
        "TLS_ENABLED",
    )
    tls_cert: str = setting(
        "",
        PATH,
        "The server's certificate and its chain, PEM, for each tls:PORT without cert=.",
        "TLS_CERT_FILE",
        "TLS_CERT_PATH",
    )
    tls_key: str = setting(
        "", PATH, "The key that belongs to it, PEM.", "TLS_KEY_FILE", "TLS_KEY_PATH"
    )
    tls_ca: str = setting(
        "",
        PATH,
        "The authorities that clients' certificates are verified against, PEM.",
        "TLS_CA_FILE",
        "TLS_CA_PATH",
    )
    tls_client_auth: Literal["none", "optional", "require"] = setting(
        "none",
        CLIENT_AUTH,
        "Whether clients show a certificate; one that is shown must be valid.",
        "TLS_CLIENT_AUTH",
    )
    tls_min_version: Literal["1.3", "1.2"] = setting(
        "1.3", word("1.3", "1.2"), "The oldest version of TLS that is spoken."
    )
    feed_timeout: float = setting(
        60.0, duration(0.001, 604_800), "A feed silent for longer makes the server unready."
    )
    drain_delay: float = setting(
        0.0,
        duration(0, 3600),
        "How long a stopping server that says it is not ready goes on as if it were.",
    )
    drain_timeout: float = setting(
        10.0,
        duration(0, 3600),
        "How long a stopping server then waits for its clients; it closes them one after the "
        "other, over 80 % of that.",
    )
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False, compare=False)

    @property
    def port_descriptions(self) -> tuple[str, ...]:
        """`port`, with what each `tls:PORT` without `cert=` takes from the `tls_` settings."""
        return tuple(map(self.completed, self.port))

    @property
    def http_descriptions(self) -> tuple[str, ...]:
        """`http`, completed likewise; nothing when it is off."""
        return (self.completed(self.http),) if self.http else ()

    @property
    def ports_without_certificate(self) -> tuple[str, ...]:
        """Those of `port` that take theirs from the `tls_` settings."""
        return tuple(port for port in self.port if lacks_certificate(port))

    def completed(self, port: str) -> str:
        """Return the description of a port with what it takes from the `tls_` settings."""
        certificate = OwnTLS(
            self.tls_cert, self.tls_key, self.tls_ca, self.tls_client_auth, self.tls_min_version
        )
        return with_certificate(port, certificate)
