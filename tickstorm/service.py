"""The service: sources, hub, listening ports and the page for operators, from one settings object.

It starts whole or not at all, and stops in order: ports, sources, clients, page.
"""

import secrets
from collections.abc import Iterable, Sequence
from uuid import uuid4

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort, IReactorCore
from twisted.logger import Logger

from tickstorm.admission import AdmissionLimits
from tickstorm.clock import Clock, system_clock
from tickstorm.config import Settings
from tickstorm.credentials import SharedCredentials
from tickstorm.endpoints import server_endpoint
from tickstorm.errors import TickstormError
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import SLOTS
from tickstorm.hub import Hub, HubLimits
from tickstorm.interfaces import IAuthenticator, ISourceMaker
from tickstorm.outlet import Outlet
from tickstorm.overload import BacklogLimits
from tickstorm.session import SessionLimits
from tickstorm.sources import make_source
from tickstorm.transports import SocketOptions
