"""What Twisted finds of Tickstorm: the service."""

from twisted.application.service import ServiceMaker

tickstorm = ServiceMaker(
    "Tickstorm", "tickstorm.tap", "Stream live prices to many subscribers.", "tickstorm"
)
