"""picture: an SVG document that holds its curves and its words."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.bench.latencies import summarise
from tickstorm.bench.picture import HEIGHT, WIDTH, Curve, draw

SVG = "{http://www.w3.org/2000/svg}"


def places(document):
    lines = ElementTree.fromstring(document).iter(f"{SVG}polyline")
    return [
        [tuple(map(float, place.split(","))) for place in line.get("points").split()]
        for line in lines
    ]


def test_a_picture():
    points = [(0.0, 0.5), (50.0, 1.0), (90.0, 10.0), (99.0, 100.0), (100.0, 1500.0)]
    document = draw("localhost & <all>", [Curve("publishing", points)])
    root = ElementTree.fromstring(document)
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert "localhost & <all>" in words
    assert "publishing" in words
    assert {"0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s"} <= set(words)
    assert {"0 %", "50 %", "90 %", "99 %", "99.9 %"} <= set(words)
    assert "prefers-color-scheme: dark" in document
    (line,) = places(document)
    assert line[2][0] - line[0][0] == pytest.approx(line[3][0] - line[2][0], abs=0.2)
    assert line[1][1] - line[2][1] == pytest.approx(line[2][1] - line[3][1], abs=0.2)


counts = st.dictionaries(st.integers(0, 4 * 10**9), st.integers(1, 10**7), min_size=1, max_size=20)


@given(counts, counts)
def test_every_curve_rises_within_the_frame(first, second):
    curves = [Curve("a", summarise(first).points), Curve("b", summarise(second).points)]
    drawn = places(draw("t", curves))
    assert len(drawn) == 2
    for line in drawn:
        assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in line)
        assert line == sorted(line, key=lambda place: (place[0], -place[1]))
