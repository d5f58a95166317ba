"""Sources are plugins: found by name, and open to other packages."""

import subprocess
import sys

import pytest
from twisted.application.service import Service
from twisted.internet.task import Clock as Time
from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tickstorm.clock import simulated_clock
from tickstorm.errors import SourceError
from tickstorm.interfaces import ISourceMaker
from tickstorm.sources import SourceMaker, make_source
from tickstorm.sources.replay import Replay
from tickstorm.sources.walk import Walk

CLOCK = simulated_clock(Time())


@implementer(ISourceMaker)
class Foreign:
    """The plugin of another package."""

    name = "foreign"
    usage = "anything"

    def makeSource(self, arguments, publish, clock):
        source = Service()
        source.told = (arguments, publish, clock)
        return source


def publish(ticks):
    return len(list(ticks))


def test_twisted_finds_ours():
    found = {maker.name: maker for maker in getPlugins(ISourceMaker)}
    assert {"walk", "replay"} <= set(found)
    for maker in found.values():
        verifyObject(ISourceMaker, maker)
        verifyObject(IPlugin, maker)
        assert "\n" not in maker.usage


@pytest.mark.parametrize(("spec", "kind"), [("walk:", Walk), ("walk", Walk), ("replay:", Replay)])
def test_ours_are_made_with_their_defaults(spec, kind):
    source = make_source(spec, publish, CLOCK, getPlugins(ISourceMaker))
    assert type(source) is kind
    assert not source.running


def test_another_package_adds_one():
    source = make_source("foreign:a:b=c", publish, CLOCK, [Foreign()])
    assert source.told == ("a:b=c", publish, CLOCK)


@pytest.mark.parametrize("spec", ["wlak:rate=5", "", ":", "WALK:", "foreign2:"])
def test_an_unknown_name_lists_those_that_exist(spec):
    makers = [SourceMaker("walk", "tickstorm.sources.walk", ""), Foreign()]
    with pytest.raises(SourceError) as caught:
        make_source(spec, publish, CLOCK, makers)
    assert str(caught.value) == (
        f"source {spec!r}: there is no {spec.split(':')[0]!r}; the sources are: foreign, walk"
    )


def test_without_plugins_there_is_none():
    with pytest.raises(SourceError, match="the sources are: none"):
        make_source("walk:", publish, CLOCK, [])


def test_a_name_that_two_have_is_refused():
    with pytest.raises(SourceError, match="source 'foreign:': 2 plugins are named 'foreign'"):
        make_source("foreign:", publish, CLOCK, [Foreign(), Foreign()])


def in_a_fresh_process(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


def test_the_plugins_import_no_source_and_no_reactor():
    loaded = in_a_fresh_process("import sys, twisted.plugins.tickstorm_plugin; print(*sys.modules)")
    assert "tickstorm.sources" in loaded
    assert not {
        "tickstorm.sources.walk",
        "tickstorm.sources.replay",
        "twisted.internet.reactor",
    } & set(loaded)


@pytest.mark.parametrize(
    "module", ["arguments", "random_walk", "recording", "recording_file", "playback"]
)
def test_the_pure_parts_load_no_twisted(module):
    loaded = in_a_fresh_process(
        "import sys, types, importlib, tickstorm\n"
        "package = types.ModuleType('tickstorm.sources')\n"  # its own __init__ may load Twisted
        "package.__path__ = [tickstorm.__path__[0] + '/sources']\n"
        "sys.modules['tickstorm.sources'] = package\n"
        f"importlib.import_module('tickstorm.sources.{module}')\n"
        "print(*sys.modules)"
    )
    assert f"tickstorm.sources.{module}" in loaded
    assert "twisted" not in loaded
