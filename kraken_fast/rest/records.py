"""From JSON to frozen records: each field says its key and how it is read; nothing passes through a float.

A record is a frozen dataclass whose fields are made by `wire`. Unknown members are ignored, missing ones are errors
unless they have a default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Protocol, TypeVar

from ..errors import DecodeError

_Record = TypeVar("_Record")
_MISSING = object()

NS_PER_S = 1_000_000_000
NS_FROM = 10**17
"""A time at or above this counts nanoseconds, one below milliseconds. Source: rest.md, OrderAmends."""


class Names(Protocol):
    """Translates the exchange's names into ours; see `instruments.InstrumentRegistry`."""

    def symbol_or_name(self, name: str) -> str:
        """Give the symbol of a pair."""
        ...

    def asset(self, name: str) -> str:
        """Give our name of an asset."""
        ...


Reader = Callable[[Any, Names], Any]


def wire(key: str | tuple[str, ...], read: Reader, default: Any = _MISSING) -> Any:
    """Make a field that is read from `key`, the first of several that is there; null counts as missing."""
    keys = (key,) if isinstance(key, str) else key
    metadata = {"keys": keys, "read": read}
    if default is _MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@cache
def _plan(record: Any) -> list[tuple[str, tuple[str, ...], Reader, bool]]:
    return [
        (
            each.name,
            each.metadata["keys"],
            each.metadata["read"],
            each.default is dataclasses.MISSING,
        )
        for each in dataclasses.fields(record)
        if "keys" in each.metadata
    ]


def read_record(record: type[_Record], row: Any, names: Names, **others: Any) -> _Record:
    """Make a record of a JSON object; `others` are the fields that are not in it, such as its own key.

    Raises:
        DecodeError: a member is missing or is something else.
    """
    reason = ""
    if isinstance(row, Mapping):
        values = others
        for name, keys, read, is_required in _plan(record):  # type: ignore[arg-type]  # a class is hashable
            value = next((row[key] for key in keys if row.get(key) is not None), None)
            if value is None:
                if is_required:
                    reason = f"{keys[0]} is missing"
                    break
                continue
            try:
                values[name] = read(value, names)
            except (TypeError, ValueError, LookupError, InvalidOperation, AttributeError):
                reason = f"{keys[0]} is not understood"
                break
        else:
            return record(**values)
    row = None  # may hold a token; a traceback that shows locals must not find it
    raise DecodeError(record.__name__, 0, "", reason or "not an object")


# Readers -----------------------------------------------------------------------------------------------------


def number(value: Any, _names: Names) -> Decimal:
    """Read a number, from text or JSON."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise TypeError(value)
    read = Decimal(value)
    if not read.is_finite():
        raise ValueError(value)
    return read


def whole(value: Any, _names: Names) -> int:
    """Read a whole number, from text or JSON."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(value)
    return int(value)


def text(value: Any, _names: Names) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def optional_text(value: Any, _names: Names) -> str | None:
    """Read a text in which "None" and "" stand for none."""
    return text(value, _names) if value not in ("", "None") else None


def optional_ref(value: Any, _names: Names) -> int | None:
    """Read a user reference, in which 0 stands for none."""
    return int(value) or None


def flag(value: Any, _names: Names) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def seconds(value: Any, names: Names) -> int | None:
    """Read seconds since epoch, with a fraction or without, as nanoseconds; 0 stands for none."""
    return int(number(value, names) * NS_PER_S) or None


def moment(value: Any, names: Names) -> int:
    """Read seconds since epoch as nanoseconds."""
    return int(number(value, names) * NS_PER_S)


def ns_or_ms(value: Any, names: Names) -> int:
    """Read a time that is in nanoseconds or milliseconds, by its magnitude."""
    count = whole(value, names)
    return count if count >= NS_FROM else count * 1_000_000


def iso(value: Any, _names: Names) -> int:
    """Read an RFC 3339 time as nanoseconds since epoch, all nine digits.

    >>> iso("2026-01-01T00:00:02.982277754Z", None)
    1767225602982277754
    """
    whole_part, _, fraction = str(value).removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole_part + "+00:00")
    return round(at.timestamp()) * NS_PER_S + int((fraction or "0").ljust(9, "0")[:9])


def iso_or_none(value: Any, names: Names) -> int | None:
    """Read an RFC 3339 time in which "0" stands for none."""
    return None if value in ("0", 0, "") else iso(value, names)


def symbol(value: Any, names: Names) -> str:
    """Read a pair's name, whatever its spelling."""
    return names.symbol_or_name(text(value, names))


def asset(value: Any, names: Names) -> str:
    """Read an asset's name, whatever its spelling."""
    return names.asset(text(value, names))


def words(value: Any, names: Names) -> tuple[str, ...]:
    """Read a list of texts, or one with commas."""
    if isinstance(value, str):
        return tuple(part for part in value.split(",") if part)
    return tuple(text(each, names) for each in value)


def wholes(value: Any, names: Names) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    return tuple(whole(each, names) for each in value)


def one(record: type[Any]) -> Reader:
    """Read an object as a record."""
    return lambda value, names: read_record(record, value, names)


def several(record: type[Any]) -> Reader:
    """Read a list of objects as records."""
    return lambda value, names: tuple(read_record(record, each, names) for each in value)


def keyed(record: type[_Record], rows: Any, names: Names, key: str) -> tuple[_Record, ...]:
    """Read an object of objects: each becomes a record, its key the field `key`."""
    if not isinstance(rows, Mapping):
        raise DecodeError(record.__name__, 0, "", "not an object")
    return tuple(read_record(record, row, names, **{key: name}) for name, row in rows.items())


def listed(
    record: type[_Record], rows: Any, fields: Iterable[tuple[str, Reader]], names: Names
) -> tuple[_Record, ...]:
    """Read a list of lists: each becomes a record, by position.

    Raises:
        DecodeError: a row is too short, or a value is something else.
    """
    plan = tuple(fields)
    try:
        return tuple(
            record(**{name: read(value, names) for (name, read), value in zip(plan, row, strict=False)})
            for row in rows
        )
    except (TypeError, ValueError, InvalidOperation):
        pass
    raise DecodeError(record.__name__, 0, "", "a row is not understood")
