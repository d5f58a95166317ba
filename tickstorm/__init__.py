"""Tickstorm: streams live prices to many subscribers, over a small checksummed protocol.

To embed the server, `tickstorm.factory.TickstormFactory` over a `tickstorm.hub.Hub` is enough;
to read from one, `tickstorm.client`.
"""

__version__ = "0.1.0"
