"""Asking the operators' page: where it is."""

import pytest

from tickstorm.web.asking import Page, page_at


@pytest.mark.parametrize(
    ("where", "page"),
    [
        ("tcp:9090:interface=127.0.0.1", Page("127.0.0.1", 9090, "/p")),
        ("tcp:9090", Page("127.0.0.1", 9090, "/p")),
        ("tcp:9090:interface=0.0.0.0", Page("127.0.0.1", 9090, "/p")),
        ("tcp:port=9090:interface=10.0.0.5", Page("10.0.0.5", 9090, "/p")),
        ("tcp6:9090", Page("::1", 9090, "/p")),
        ("tcp:9090:interface=\\:\\:", Page("::1", 9090, "/p")),
        ("unix:/run/t.sock:mode=660", Page("", 0, "/p", "/run/t.sock")),
        ("unix:address=/run/t.sock", Page("", 0, "/p", "/run/t.sock")),
        ("http://example.org", Page("example.org", 80, "/p")),
        ("http://[::1]:9090/", Page("::1", 9090, "/p")),
        ("http://example.org:1/other", Page("example.org", 1, "/other")),
    ],
)
def test_where_the_page_is(where, page):
    assert page_at(where, "/p") == page


@pytest.mark.parametrize(
    "where",
    ["", "off", "9090", "tcp:x", "tcp:70000", "ssl:9090", "https://a", "http://", "http://a:x"],
)
def test_where_it_is_not(where):
    with pytest.raises(ValueError, match=r"^"):
        page_at(where, "/p")


def test_pages_as_people_read_them():
    assert [str(page_at(where, "/p")) for where in ("tcp:1", "tcp6:1", "unix:/t")] == [
        "http://127.0.0.1:1/p",
        "http://[::1]:1/p",
        "/p at unix:/t",
    ]
