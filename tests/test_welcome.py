"""What a person at the terminal is told."""

from dataclasses import replace

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from tickstorm.errors import ConfigError
from tickstorm.publishing import read_right
from tickstorm.settings import Settings
from tickstorm.tap import Options
from tickstorm.welcome import ONE_TIME_USER, one_time, welcome, with_one_time_login

SETTINGS = Settings(username="guest", password="abc123")
NEAR = IPv4Address("TCP", "127.0.0.1", 8080)
PAGE = IPv4Address("TCP", "127.0.0.1", 9090)


def test_all_that_there_is_to_type():
    assert welcome(SETTINGS, [NEAR], [PAGE], ".venv/bin/tickstorm") == (
        "Tickstorm listens on 127.0.0.1:8080\n"
        "One-time login: user guest, password abc123\n"
        "Watch it from another terminal:\n"
        "  .venv/bin/tickstorm watch 127.0.0.1:8080 --user guest --password abc123\n"
        "Health and metrics: http://127.0.0.1:9090/"
    )


@pytest.mark.parametrize(
    ("address", "dialled"),
    [
        (NEAR, "127.0.0.1:8080"),
        (IPv6Address("TCP", "::1", 8080), "[::1]:8080"),
        (UNIXAddress(b"/run/ticks.sock"), "unix:/run/ticks.sock"),
    ],
)
def test_an_address_is_written_as_a_client_takes_it(address, dialled):
    lines = welcome(SETTINGS, [address], [], "tickstorm").splitlines()
    assert lines[0] == f"Tickstorm listens on {dialled}"
    assert lines[-1] == f"  tickstorm watch {dialled} --user guest --password abc123"


def test_every_port_is_named_and_the_first_is_watched():
    settings = replace(SETTINGS, port=("tls:8443", "unix:/a", "tcp:8080"))
    ports = [IPv4Address("TCP", "127.0.0.1", 8443), UNIXAddress(b"/a"), NEAR]
    lines = welcome(settings, ports, [], "tickstorm").splitlines()
    assert lines[0] == "Tickstorm listens on 127.0.0.1:8443, unix:/a, 127.0.0.1:8080"
    assert "watch unix:/a " in lines[-1]


def test_no_command_is_given_for_a_port_that_needs_more_than_its_address():
    settings = replace(SETTINGS, port=("tls:8443",))
    lines = welcome(settings, [IPv4Address("TCP", "127.0.0.1", 8443)], [], "tickstorm").splitlines()
    assert lines == [
        "Tickstorm listens on 127.0.0.1:8443",
        "One-time login: user guest, password abc123",
    ]


def test_a_page_on_a_unix_socket():
    assert "unix:/run/page.sock" in welcome(
        SETTINGS, [NEAR], [UNIXAddress(b"/run/page.sock")], "tickstorm"
    )


def test_a_page_on_ipv6():
    page = IPv6Address("TCP", "::1", 9090)
    assert "http://[::1]:9090/" in welcome(SETTINGS, [NEAR], [page], "tickstorm")


def test_each_run_has_a_login_of_its_own():
    one, other = with_one_time_login(Settings()), with_one_time_login(Settings())
    assert one.username == other.username == ONE_TIME_USER
    assert one.password != other.password
    assert len(one.password) == 16
    assert replace(one, username="", password="") == Settings()


@pytest.mark.parametrize("port", ["tcp:8080", "tcp:8080:interface=0.0.0.0", "tcp6:8080"])
def test_there_is_none_where_others_may_connect(port):
    settings = Settings(port=("tcp:8081:interface=127.0.0.1", port))
    with pytest.raises(ConfigError, match="can be reached from other machines") as caught:
        with_one_time_login(settings)
    assert str(caught.value).startswith(f"port {port!r} ")


def test_nobody_but_its_user_can_be_a_publisher():
    rights = (read_right(f"{ONE_TIME_USER}:*"),)
    assert with_one_time_login(Settings(publishers=rights)).publishers == rights
    with pytest.raises(ConfigError) as caught:
        with_one_time_login(Settings(publishers=(*rights, read_right("alice:*"))))
    assert str(caught.value) == (
        'publishers: ["guest:*", "alice:*"] has somebody who cannot log in: there is only '
        'username, which is "guest" (the one-time login)'
    )


def test_a_one_time_login_stays_among_other_settings_that_go_with_it():
    settings = one_time(Settings(max_symbols=5), "guest", "secret")
    assert settings == Settings(max_symbols=5, username="guest", password="secret")
    with pytest.raises(ConfigError, match="there is only username"):
        one_time(Settings(publishers=(read_right("alice:*"),)), "guest", "secret")


def test_what_is_read_anew_beside_a_one_time_login_has_to_go_with_it(tmp_path):
    file = tmp_path / "t.toml"
    file.write_text('publishers = ["guest:*"]')
    options = Options()
    options.parseOptions(["--config", str(file)])
    running = options.settings
    assert options.reread(running) == running
    file.write_text('publishers = ["alice:*"]')
    with pytest.raises(ConfigError, match="has somebody who cannot log in"):
        options.reread(running)
