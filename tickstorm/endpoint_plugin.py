"""The parser of our TLS for the endpoint descriptions of other applications.

Twisted imports plugins at every start of twistd, so this imports nothing until it is asked.
"""

from twisted.internet.interfaces import (
    IReactorCore,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class TLSEndpointParser:
    """Makes `tickstormtls:8443:cert=PATH:key=PATH` a server endpoint of any Twisted application.

    What may follow is as behind `tls:` in `tickstorm.endpoints.server_endpoint`.
    """

    prefix = "tickstormtls"

    def parseStreamServer(
        self, reactor: IReactorCore, *args: object, **kwargs: object
    ) -> IStreamServerEndpoint:
        """Return the endpoint that the parts of a description describe.

        Raises:
            ConfigError: the message begins with the part that cannot be used.
        """
        from tickstorm.endpoints import tls_endpoint

        return tls_endpoint(
            reactor,
            [str(argument) for argument in args],
            {keyword: str(value) for keyword, value in kwargs.items()},
        )
