"""The arguments of sources, right and wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.errors import SourceError
from tickstorm.sources.arguments import Arguments, Kind, choice, number, whole_number

TEXT = Kind(str, "text")


def read(text, *keys):
    """Return the first argument and those with these keys."""
    arguments = Arguments("test", text)
    values = {key: arguments.take(key, TEXT, "-") for key in keys}
    arguments.finish()
    return arguments.first, values


@pytest.mark.parametrize(
    ("text", "first", "a", "b"),
    [
        ("", "", "-", "-"),
        ("file", "file", "-", "-"),
        ("file:a=1", "file", "1", "-"),
        ("a=1", "", "1", "-"),
        (":a=1", "", "1", "-"),
        ("file:b=2:a=1", "file", "1", "2"),
        (r"C\:file:a=1\:2", "C:file", "1:2", "-"),
        (r"x\=y:a=\\:b=\:", "x=y", "\\", ":"),
        ("file:a=", "file", "", "-"),
        ("a=b=c", "", "b=c", "-"),
        (r"\f\i\l\e", "file", "-", "-"),
    ],
)
def test_what_is_given(text, first, a, b):
    assert read(text, "a", "b") == (first, {"a": a, "b": b})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("c=1", "test: there is no argument c=; the arguments are: a=, b="),
        ("=1", "test: there is no argument =; the arguments are: a=, b="),
        ("file:more", "test: 'more' is not KEY=VALUE"),
        ("file:a=1:", "test: '' is not KEY=VALUE"),
        ("file::a=1", "test: '' is not KEY=VALUE"),
        (r"file:a\=1", "test: 'a=1' is not KEY=VALUE"),
        ("a=1:a=2", "test: a= is given twice"),
        ("file\\", "test: a backslash stands at the end, with nothing behind it"),
        ("a=1:\\", "test: a backslash stands at the end, with nothing behind it"),
    ],
)
def test_what_is_refused(text, error):
    with pytest.raises(SourceError) as caught:
        read(text, "a", "b")
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "allowed"),
    [
        (
            number(0.5, 20),
            {"0.5": 0.5, "20": 20.0, "1e1": 10.0},
            ["0.49", "20.1", "", "x", "nan", "inf", "-1", "1,5"],
            "a number 0.5 to 20",
        ),
        (
            whole_number(1, 9),
            {"1": 1, "9": 9},
            ["0", "10", "", "1.0", "x", "9" * 5000],
            "a whole number 1 to 9",
        ),
        (choice({"yes": True, "no": False}), {"yes": True, "no": False}, ["", "Y"], "yes or no"),
    ],
)
def test_kinds(kind, right, wrong, allowed):
    for text, value in right.items():
        assert Arguments("test", f"k={text}").take("k", kind, None) == value
    for text in wrong:
        with pytest.raises(SourceError) as caught:
            Arguments("test", f"k={text}").take("k", kind, None)
        assert str(caught.value) == f"test: k={text[:64]} is not {allowed}"


def test_the_first_argument_may_be_refused():
    Arguments("test", "a=1").refuse_first()
    with pytest.raises(SourceError, match="test: 'AAA' is not KEY=VALUE"):
        Arguments("test", "AAA").refuse_first()


def quoted(text):
    return "".join(f"\\{character}" if character in "\\:=" else character for character in text)


@given(first=st.text(), a=st.text(), b=st.text())
def test_what_is_quoted_comes_out_as_it_was(first, a, b):
    text = f"{quoted(first)}:a={quoted(a)}:b={quoted(b)}"
    assert read(text, "a", "b") == (first, {"a": a, "b": b})


@given(st.text(alphabet="ab=:\\\n"))
def test_any_text_is_arguments_or_our_error(text):
    try:
        first, values = read(text, "a", "b")
    except SourceError:
        return
    assert isinstance(first, str)
    assert set(values) == {"a", "b"}
