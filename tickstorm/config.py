"""The configuration: one frozen `Settings`, from defaults, a TOML file, the environment, options.

What `load` returns is valid as a whole: each value is in its range, and those that depend on one
another agree. What it cannot use it says in one line: which name, where, what it is, what may be.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from tickstorm.agreement import check_together
from tickstorm.declarations import PREFIX, Origin, Setting
from tickstorm.descriptions import is_local, over_tls, parse_description
from tickstorm.errors import ConfigError
from tickstorm.kinds import ADDRESS, PEM, Kind, milliseconds, shortened, toml
from tickstorm.settings import SETTINGS, Settings
from tickstorm.stream_settings import Delivery

__all__ = [
    "SETTINGS",
    "Delivery",
    "Settings",
    "defaults_toml",
    "describe",
    "is_local",
    "load",
    "parse_description",
]

_LINE = 100
"""Characters of a line of the file that is written."""

_ENVIRONMENT = "the environment"
_LISTEN_ADDR = "LISTEN_ADDR"

_SERVICE_LINK = re.compile(
    r"(?P<service>TICKSTORM(_\w+?)?)_(SERVICE_(HOST|PORT(_\w+)?)=.*"
    r"|PORT(_\d+_(TCP|UDP|SCTP))?=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*)",
    re.DOTALL,
)
"""NAME=value, as Kubernetes tells each container of a service whose name begins so."""

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {name: setting for setting in SETTINGS for name in setting.environment}


class _Given(NamedTuple):
    value: Any
    origin: Origin


def load(
    *, file: Path | None, environ: Mapping[str, str], options: Mapping[str, object]
) -> Settings:
    """Put the settings together; a later place wins: defaults, file, environment, options.

    Args:
        file: TOML, with the names of the fields as keys.
        environ: variables that are empty count as not set; those that begin with TICKSTORM_ must
            be names of settings.
        options: by field, with underscores or hyphens; text, or a list of it; None and empty lists
            count as not given.

    Raises:
        ConfigError: something in any of these places cannot be used, even if a later one wins.
    """
    given: dict[str, _Given] = {}
    for place in (_from_file(file), _from_environment(environ), _from_options(options)):
        given.update(place)
    settings = Settings(
        **{name: one.value for name, one in given.items()},
        origins={name: one.origin for name, one in given.items()},
    )
    settings = _with_tls(settings)
    check_together(settings)
    return settings


def _from_file(file: Path | None) -> dict[str, _Given]:
    if file is None:
        return {}
    given = {}
    for key, value in _parse_file(file).items():
        origin = _origin(key, str(file))
        setting = _known(key, origin, _BY_NAME)
        given[key] = _checked(setting, setting.kind, value, origin)
    return given


def _parse_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not TOML: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for name, text in _own_variables(environ):
        origin = _origin(name, _ENVIRONMENT)
        setting = _known(name, origin, _BY_VARIABLE)
        one = _read(setting, _kind_of_variable(setting, name), text, origin)
        first = given.setdefault(setting.name, one)
        if one.value != first.value:
            raise ConfigError(
                f"{first.origin.name} and {name} in {_ENVIRONMENT}: two names of one setting, "
                f"with different values"
            )
    return given


def _own_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in environ.items():
        ours = name in _BY_VARIABLE or name.startswith(PREFIX)
        if ours and text and not _is_service_link(name, environ):
            yield name, text


def _is_service_link(name: str, environ: Mapping[str, str]) -> bool:
    link = _SERVICE_LINK.fullmatch(f"{name}={environ[name]}")
    return link is not None and f"{link['service']}_SERVICE_HOST" in environ


def _kind_of_variable(setting: Setting, name: str) -> Kind:
    if name == _LISTEN_ADDR:
        return ADDRESS
    return milliseconds(setting.kind) if name.endswith("_MS") else setting.kind


def _from_options(options: Mapping[str, object]) -> dict[str, _Given]:
    given = {}
    for key, value in options.items():
        if value in (None, [], ()):
            continue
        origin = _origin(f"--{key.replace('_', '-')}", "")
        setting = _known(key.replace("-", "_"), origin, _BY_NAME)
        if isinstance(value, str):
            given[setting.name] = _read(setting, setting.kind, value, origin)
        else:
            given[setting.name] = _checked(setting, setting.kind, value, origin)
    return given


def _origin(name: str, place: str) -> Origin:
    return Origin(name if name.isprintable() else repr(name), place)


def _known(key: str, origin: Origin, known: Mapping[str, Setting]) -> Setting:
    setting = known.get(key)
    if setting is None:
        near = get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "conf/tickstorm.toml lists all"
        raise ConfigError(f"{origin}: there is no such setting; {hint}")
    return setting


def _read(setting: Setting, kind: Kind, text: str, origin: Origin) -> _Given:
    try:
        return _Given(kind.check(kind.read(text)), origin)
    except ValueError:
        raise _wrong(setting, kind, text, origin) from None


def _checked(setting: Setting, kind: Kind, value: object, origin: Origin) -> _Given:
    try:
        return _Given(kind.check(value), origin)
    except ValueError:
        raise _wrong(setting, kind, value, origin) from None


def _wrong(setting: Setting, kind: Kind, value: object, origin: Origin) -> ConfigError:
    text = repr(value)
    secret = setting.secret or PEM in text
    shown = "the value, not shown here," if secret else shortened(text)
    return ConfigError(f"{origin}: {shown} is not {kind.allowed}")


def _with_tls(settings: Settings) -> Settings:
    origins = dict(settings.origins)
    if settings.tls_cert and "tls_enabled" not in origins:
        origins["tls_enabled"] = origins["tls_cert"]
        settings = replace(settings, tls_enabled=True, origins=origins)
    port_origin = origins.get("port")
    if settings.tls_enabled and (port_origin is None or port_origin.name == _LISTEN_ADDR):
        settings = replace(settings, port=tuple(map(over_tls, settings.port)))
    return settings


def defaults_toml() -> str:
    """Return a TOML file of every setting with its default, explained and commented out."""
    head = (
        "The settings of Tickstorm, each with its default. Environment variables win over this "
        "file, and command-line options over both. A duration is text such as "
        '"500ms", "15s", "1m" or "1h", or a number of seconds.'
    )
    return "\n\n".join([_comment(head), *map(_default, SETTINGS)]) + "\n"


def _default(setting: Setting) -> str:
    allowed = setting.kind.allowed
    return "\n".join(
        [
            _comment(setting.doc),
            _comment(f"{allowed[0].upper()}{allowed[1:]}."),
            _comment(f"Environment: {', '.join(setting.environment)}."),
            f"#{setting.name} = {toml(setting.default)}",
        ]
    )


def _comment(text: str) -> str:
    lines = wrap(text, _LINE - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def describe(settings: Settings) -> str:
    """Return settings as TOML, each with where it was set; secrets are not shown."""
    return "".join(_described(settings, setting) for setting in SETTINGS)


def _described(settings: Settings, setting: Setting) -> str:
    value = getattr(settings, setting.name)
    origin = settings.origins.get(setting.name, "the default")
    if setting.secret and value:
        return f"# {setting.name} is set, and not shown  # {origin}\n"
    return f"{setting.name} = {toml(value)}  # {origin}\n"
