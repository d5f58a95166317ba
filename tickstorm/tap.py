"""`twistd tickstorm`: from options to settings to a running service. It alone has the real reactor.

Whatever is wrong is one line on standard error and exit code 1, before anything listens.
"""

import gc
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from twisted.application.service import IService, IServiceCollection, MultiService
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from tickstorm.authenticators import CheckerAuthenticator, with_files_read
from tickstorm.config import load
from tickstorm.errors import ConfigError, TickstormError
from tickstorm.log import Threshold, log_to, observer
from tickstorm.open_files import raise_limit
from tickstorm.service import TickstormService
from tickstorm.settings import Settings
from tickstorm.welcome import one_time, welcome, with_one_time_login


def fail(message: object) -> NoReturn:
    """End the process with one line: the log may have taken the place of sys.stderr."""
    print(f"tickstorm: {message}", file=sys.__stderr__)
    raise SystemExit(1)


class Options(UsageOptions, AuthOptionMixin):
    """The options of `twistd tickstorm`; those with a value are also keys of the settings."""

    synopsis = "[options]"
    longdesc = (
        "Stream live prices to many subscribers. `tickstorm config defaults` explains every "
        "setting; an option wins over the environment, and that over the file."
    )
    supportedInterfaces = (IUsernamePassword,)
    optFlags = (("check-config", None, "Say whether the configuration can be used, and exit."),)
    optParameters = (
        ("http", None, None, "Operators' endpoint, or off. [tcp:9090:interface=127.0.0.1]"),
        ("delivery", None, None, "aligned or spread. [aligned]"),
        (
            "workers",
            None,
            None,
            "Processes that serve subscribers, or auto. [0: this one alone]",
        ),
        ("redis", None, None, "Where auctions are kept: redis://HOST. [in memory]"),
        ("config", "c", None, "A file of settings, in TOML."),
        ("log-format", None, None, "json or text. [json]"),
        ("log-level", None, None, "debug, info, warn, error or critical. [info]"),
    )

    def __init__(self) -> None:
        super().__init__()
        self["port"] = []
        self["source"] = []
        self["auction"] = []
        self.settings = Settings()
        """What the options, the environment and the file come to."""
        self.one_time_login = False
        """Whether the settings have a login that is to be shown, and good for this run."""

    def opt_port(self, description: str) -> None:
        """Subscribers' endpoint; may be given several times. [tcp:8080:interface=127.0.0.1]"""  # noqa: D415 - it is shown by --help
        self["port"].append(description)

    def opt_source(self, spec: str) -> None:
        """Where ticks come from; may be given several times. [walk:]"""  # noqa: D415 - it is shown by --help
        self["source"].append(spec)

    def opt_auction(self, description: str) -> None:
        """Bidders' endpoint; may be given several times. [no auctions]"""  # noqa: D415 - it is shown by --help
        self["auction"].append(description)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; a word that does not belong there ends the process."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            fail(f"{error} (see twistd tickstorm --help)")

    def postOptions(self) -> None:
        """Put the settings together; whatever cannot be used ends the process."""
        try:
            self.settings = self._load()
        except ConfigError as error:
            fail(error)
        if self["check-config"]:
            makeService(self)
            print("tickstorm: the configuration can be used")  # noqa: T201 - it is for people
            raise SystemExit(0)

    @property
    def checkers(self) -> Sequence[Any]:
        """What `--auth` asked for."""
        checkers: Sequence[Any] = self.get("credCheckers", ())
        return checkers

    def reread(self, running: Settings) -> Settings:
        """Put the settings together once more, for a server that runs.

        Args:
            running: what it runs with; its one-time login stays if no other has come.

        Raises:
            ConfigError: something in them cannot be used, or nobody could log in.
        """
        settings = self._read()
        if settings.username or self.checkers:
            return settings
        if not self.one_time_login or running.password != self.settings.password:
            raise ConfigError("there is no user name any more: nobody could log in")
        return one_time(settings, running.username, running.password)

    def _read(self) -> Settings:
        file = self["config"]
        names = (
            *("port", "http", "source", "auction", "redis", "delivery", "workers"),
            *("log-format", "log-level"),
        )
        settings = load(
            file=Path(file) if file is not None else None,
            environ=os.environ,
            options={name: self[name] for name in names},
        )
        if self.checkers and settings.username:
            raise ConfigError("--auth and a user name in the settings exclude one another")
        return settings

    def _load(self) -> Settings:
        settings = self._read()
        if settings.username or self.checkers:
            return settings
        if not self._in_foreground():
            raise ConfigError(
                "a daemon has nobody to tell a one-time password: set STREAM_USER and STREAM_PASS, "
                "give --auth, or run it with twistd -n"
            )
        self.one_time_login = True
        return with_one_time_login(settings)

    def _in_foreground(self) -> bool:
        twistd: Any = self.parent
        return twistd is None or bool(twistd.get("nodaemon", True))


class CommandLineService(MultiService):
    """What twistd runs: the service, with its log and what a person is told.

    Args:
        options: what was asked for.
        service: the server.
        authenticator: asks the options' checkers; None if there are none.
        stdout: where the log goes unless a file was asked for.
        reactor: what it all runs on.
    """

    _log = Logger()

    def __init__(
        self,
        options: Options,
        service: TickstormService,
        authenticator: CheckerAuthenticator | None,
        stdout: IO[str],
        reactor: Any,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._options = options
        self._twistd: Any = options.parent
        self._service = service
        self._authenticator = authenticator
        self._stdout = stdout
        self._threshold = Threshold(options.settings.log_level)
        service.on_reload = lambda settings: self._threshold.set(settings.log_level)
        service.setServiceParent(self)

    def setServiceParent(self, parent: IServiceCollection | Componentized) -> None:
        """Join the application, and have twistd log to our observer unless it was told another."""
        super().setServiceParent(parent)
        log_format = self._options.settings.log_format
        if isinstance(parent, Componentized) and not self._twistd.get("syslog"):
            log_to(parent, observer(self._log_file(), log_format, self._threshold))

    def privilegedStartService(self) -> None:
        """Listen; a port that cannot be had ends the process, or daemonising, with its line."""
        try:
            super().privilegedStartService()
        except TickstormError as error:
            if not self._in_foreground():
                raise
            self._remove_pid_file()
            fail(error)

    def startService(self) -> None:
        """Start, heed SIGHUP, and say how to watch a server that has a one-time login."""
        super().startService()
        self._heed(signal.SIGHUP, self._reload)
        self._reactor.callWhenRunning(_freeze)
        if self._options.one_time_login:
            self._reactor.callWhenRunning(self._welcome)

    def stopService(self) -> Deferred[Any]:
        """Stop; whoever asks for that once more has no time."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._heed(number, self._service.hasten)
        return maybeDeferred(super().stopService)

    def _heed(self, number: int, call: Callable[[], object]) -> None:
        signal.signal(number, lambda *_: self._reactor.callFromThread(call))

    def _reload(self) -> None:
        try:
            settings = self._options.reread(self._service.settings)
            checkers = with_files_read(self._options.checkers)
            self._service.reload(settings)
        except ConfigError as error:
            self._log.error("nothing is reloaded, all stays as it was: {reason}", reason=str(error))
            return
        if self._authenticator is not None:
            self._authenticator.checkers = checkers
            self._log.info("the files of --auth are read anew")

    def _welcome(self) -> None:
        text = welcome(
            self._options.settings,
            [port.getHost() for port in self._service.ports],
            [page.getHost() for page in self._service.page_ports],
            _own_command(),
        )
        print(text, file=sys.__stderr__, flush=True)

    def _remove_pid_file(self) -> None:
        # twistd does this itself, but only for an exception that it would write out in full.
        pid_file = self._twistd.get("pidfile")
        if pid_file:
            Path(pid_file).unlink(missing_ok=True)

    def _in_foreground(self) -> bool:
        return bool(self._twistd.get("nodaemon", True))

    def _log_file(self) -> Any:
        name = self._twistd.get("logfile")
        if name == "-" or (not name and self._in_foreground()):
            return self._stdout
        return LogFile.fromFullPath(os.path.abspath(name or "twistd.log"))


def _freeze() -> None:
    # What there is now stays: no collection of garbage need ever look at it again.
    gc.collect()
    gc.freeze()


def _own_command() -> str:
    beside = Path(sys.argv[0]).with_name("tickstorm")
    if shutil.which("tickstorm") or not beside.exists():
        return "tickstorm"
    beside, here = beside.absolute(), Path.cwd()
    near = here != Path("/") and beside.is_relative_to(here)
    return shlex.quote(str(beside.relative_to(here) if near else beside))


def makeService(options: Options) -> IService:
    """Return the service that twistd runs."""
    from twisted.internet import reactor

    raise_limit()
    authenticator = None
    try:
        if options.checkers:
            authenticator = CheckerAuthenticator(with_files_read(options.checkers))
        service = TickstormService(options.settings, reactor, authenticator=authenticator)
    except TickstormError as error:
        fail(error)
    return CommandLineService(options, service, authenticator, sys.stdout, reactor)
