"""What settings must be together: each rule broken, and where it just holds."""

import pytest
from test_config import CA, CERT, LOGIN, from_environment, wrong

from tickstorm.agreement import check_together, check_users
from tickstorm.frames import FrameType, encode_frame
from tickstorm.history import History, HistoryLimits
from tickstorm.ring import ENTRY_BYTES, Ring


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"HEARTBEAT_TIMEOUT_MS": "15000"},
            'HEARTBEAT_TIMEOUT_MS in the environment: "15s" must be longer than '
            'heartbeat_interval, which is "15s" (the default)',
        ),
        (
            {"HEARTBEAT_INTERVAL": "30s"},
            'heartbeat_timeout: "20s" must be longer than '
            'heartbeat_interval, which is "30s" (HEARTBEAT_INTERVAL in the environment)',
        ),
        (
            {"MAX_MSG_SIZE": "16777216"},
            "max_write_queue_bytes: 4194304 must be at least 12 more than "
            "max_message_bytes, which is 16777216 (MAX_MSG_SIZE in the environment)",
        ),
        (
            {"TICKSTORM_SOFT_WRITE_QUEUE_BYTES": "4194305"},
            "TICKSTORM_SOFT_WRITE_QUEUE_BYTES in the environment: 4194305 must be at most "
            "max_write_queue_bytes, which is 4194304 (the default)",
        ),
        (
            {"TICKSTORM_MAX_WRITE_QUEUE_BYTES": "1048575", "MAX_MSG_SIZE": "65536"},
            "soft_write_queue_bytes: 1048576 must be at most max_write_queue_bytes, which is "
            "1048575 (TICKSTORM_MAX_WRITE_QUEUE_BYTES in the environment)",
        ),
        (
            {"TICKSTORM_HISTORY_BYTES": "65771"},
            "TICKSTORM_HISTORY_BYTES in the environment: 65771 is neither 0 nor at least 236 more "
            "than max_message_bytes, which is 65536 (the default)",
        ),
        (
            {"TICKSTORM_AUCTION": "tls:8443"},
            'TICKSTORM_AUCTION in the environment: ["tls:8443"] needs a cert= of its own, or '
            "tls_cert, which is not set (the default)",
        ),
        (
            {"AUTH_USERNAME": "ada"},
            'AUTH_USERNAME in the environment: "ada" needs password, '
            "which is not set (the default)",
        ),
        (
            {"AUTH_PASSWORD": "hunter2"},
            "AUTH_PASSWORD in the environment: its value, not shown here, needs username, "
            "which is not set (the default)",
        ),
        (
            {"TLS_CERT_FILE": "/c.pem"},
            'TLS_CERT_FILE in the environment: "/c.pem" needs tls_key, '
            "which is not set (the default)",
        ),
        (
            {"TLS_KEY_PATH": "/k.pem"},
            'TLS_KEY_PATH in the environment: "/k.pem" needs tls_cert, '
            "which is not set (the default)",
        ),
        (
            {"TLS_ENABLED": "yes"},
            "TLS_ENABLED in the environment: true needs tls_cert, which is not set (the default)",
        ),
        (
            {**CERT, "TLS_CLIENT_AUTH": "verify"},
            'TLS_CLIENT_AUTH in the environment: "optional" needs tls_ca, '
            "which is not set (the default)",
        ),
        (
            {**CERT, **CA},
            'TLS_CA_FILE in the environment: "/ca.pem" needs a choice of tls_client_auth, '
            'which is "none" (the default)',
        ),
        (
            {"TICKSTORM_PORT": "tls:8443"},
            'TICKSTORM_PORT in the environment: ["tls:8443"] needs a cert= of its own, or '
            "tls_cert, which is not set (the default)",
        ),
    ],
)
def test_settings_that_do_not_agree(environ, message):
    assert wrong(from_environment, **environ) == message


@pytest.mark.parametrize(
    "environ",
    [
        {"TICKSTORM_HISTORY_BYTES": "65772"},
        {"TICKSTORM_HISTORY_BYTES": "0"},
        {"TICKSTORM_HISTORY_BYTES": "1", "TICKSTORM_HISTORY": "0"},
        {**LOGIN, "TICKSTORM_PUBLISHERS": "bob:*"},  # who that is an authenticator may decide
        {**LOGIN, "TICKSTORM_AUCTION_USERS": "bob:*"},
    ],
)
def test_settings_that_just_agree(environ):
    check_together(from_environment(**environ))


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {**LOGIN, "TICKSTORM_PUBLISHERS": "nobody:*"},
            'TICKSTORM_PUBLISHERS in the environment: ["nobody:*"] has somebody who cannot log in: '
            'there is only username, which is "ada" (STREAM_USER in the environment)',
        ),
        (
            {**LOGIN, "TICKSTORM_PUBLISHERS": "ada:EUR*;bob:*"},
            'TICKSTORM_PUBLISHERS in the environment: ["ada:EUR*", "bob:*"] has somebody who '
            'cannot log in: there is only username, which is "ada" '
            "(STREAM_USER in the environment)",
        ),
        (
            {**LOGIN, "TICKSTORM_AUCTION_USERS": "ada:1;bob:*"},
            'TICKSTORM_AUCTION_USERS in the environment: ["ada:1", "bob:*"] has somebody who '
            'cannot log in: there is only username, which is "ada" '
            "(STREAM_USER in the environment)",
        ),
    ],
)
def test_users_beside_the_one_who_can_log_in(environ, message):
    assert wrong(check_users, from_environment(**environ)) == message


@pytest.mark.parametrize(
    "environ",
    [
        {**LOGIN, "TICKSTORM_PUBLISHERS": "ada:EUR*;ada:GBP*"},
        {"TICKSTORM_PUBLISHERS": "alice:*;bob:*"},
        {**LOGIN, "TICKSTORM_AUCTION_USERS": "ada:1,2;ada:*"},
        {"TICKSTORM_AUCTION_USERS": "alice:*;bob:7"},
    ],
)
def test_users_who_may_log_in(environ):
    check_users(from_environment(**environ))


@pytest.mark.parametrize(("total_bytes", "kept"), [(65_771, 0), (65_772, 1)])
def test_the_least_history_is_that_which_keeps_the_longest_batch(total_bytes, kept):
    history, ring = History(HistoryLimits(total_bytes=total_bytes)), Ring(1, 0)
    history.keep(ring, 1, 0, [encode_frame(FrameType.DATA_BATCH, bytes(65_536))])
    assert (len(ring), history.bytes) == (kept, kept * (65_536 + 12 + ENTRY_BYTES))
