"""How a setting is declared: what belongs to it beside its default, and the table made of that."""

from dataclasses import field, fields
from typing import Any, NamedTuple, TypeVar

from tickstorm.kinds import Kind

_Value = TypeVar("_Value")

PREFIX = "TICKSTORM_"
"""Each setting's own name in the environment is this and its field's name in capitals."""


class Origin(NamedTuple):
    """Where a value was set: the name that was used for it, and the place."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} in {self.place}" if self.place else self.name


class Setting(NamedTuple):
    """One row of the table.

    Attributes:
        name: the field of the dataclass, and the key in TOML.
        default: as the dataclass has it.
        kind: what it may be.
        doc: one line, with the unit.
        environment: its names there, its own first.
        secret: whether its value is never to be shown.
    """

    name: str
    default: Any
    kind: Kind
    doc: str
    environment: tuple[str, ...]
    secret: bool


def setting(
    default: _Value, kind: Kind, doc: str, *environment: str, secret: bool = False
) -> _Value:
    """Declare a field of a dataclass as a setting; see `Setting`.

    Args:
        default: its default.
        kind: what it may be.
        doc: one line, with the unit.
        environment: its names there beside its own.
        secret: whether its value is never to be shown.
    """
    metadata = {"kind": kind, "doc": doc, "environment": environment, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


def table_of(dataclass: type[Any]) -> tuple[Setting, ...]:
    """Return a row for each field that is declared as a setting, in their order."""
    return tuple(
        Setting(
            row.name,
            row.default,
            row.metadata["kind"],
            row.metadata["doc"],
            (PREFIX + row.name.upper(), *row.metadata["environment"]),
            row.metadata["secret"],
        )
        for row in fields(dataclass)
        if row.metadata
    )
