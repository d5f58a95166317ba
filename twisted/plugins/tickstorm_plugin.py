"""What Twisted finds of Tickstorm: the service, its sources, and its endpoint for others."""

from twisted.application.service import ServiceMaker

from tickstorm.endpoint_plugin import TLSEndpointParser
from tickstorm.sources import SourceMaker

tickstorm = ServiceMaker(
    "Tickstorm", "tickstorm.tap", "Stream live prices to many subscribers.", "tickstorm"
)
walk = SourceMaker(
    "walk",
    "tickstorm.sources.walk",
    "[symbols=N|A,B...][:rate=TICKS_A_SECOND][:seed=N][:price=START] - a random walk",
)
replay = SourceMaker(
    "replay",
    "tickstorm.sources.replay",
    "[FILE][:speed=N|max][:loop=yes|no][:time=now|recorded]"
    "[:chaos=all|drip,cut,dup,gap,delay,badcrc[:seed=N][:rate=PART]] - a recording, CSV or gzip of"
    " it; without FILE the bundled one, a day a second; chaos= makes the server misbehave",
)
tls = TLSEndpointParser()
