"""`light_dataclass`: a frozen dataclass with slots, of which making the class costs a quarter.

`dataclasses` compiles six functions for each frozen class. A feed needs 24 such classes: 13 ms, a third of its import
beyond picows' own (bench_import.py). Here only `__init__` is compiled for each class, in a form that also runs faster;
the other functions are one for all and read the class's list of fields: 3 ms.

All else, from `replace` and `fields` to `FrozenInstanceError`, is as with `@dataclass(frozen=True, slots=True)`, which
type checkers take it for. A field may have a default or a factory and be left out of the text; it can be nothing more.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["light_dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass as light_dataclass
else:

    def light_dataclass(*, frozen: bool, slots: bool, kw_only: bool = False) -> Any:
        """Decorate a class. What it must be is named, as for `dataclass`, so that the class tells it."""
        assert frozen
        assert slots

        def decorate(cls: type) -> type:
            plain = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
            return _finish(plain, "*, " if kw_only else "")

        return decorate


class _Unset:
    """Stands in a signature for a value that a factory makes."""

    def __repr__(self) -> str:
        return "<factory>"


_UNSET = _Unset()


def _finish(cls: Any, star: str) -> Any:
    fields = tuple(cls.__dataclass_fields__.values())
    for each in fields:
        is_plain = each.init and each.compare and each.hash is None and each.kw_only is bool(star)
        assert is_plain, each
    cls.__init__ = _make_init(cls, fields, star)
    cls._values = attrgetter(*(each.name for each in fields))
    cls._shown = tuple(each.name for each in fields if each.repr)
    for name, function in _SHARED.items():
        if name not in cls.__dict__:
            setattr(cls, name, function)
    told = cls.__dataclass_params__  # by which a dataclass that inherits from this one is judged
    told.init = told.repr = told.eq = told.frozen = True
    return cls


def _make_init(cls: Any, fields: tuple[Field[Any], ...], star: str) -> Any:
    """Compile `__init__`: each value goes straight into its slot, past the refusal to set anything."""
    names = [each.name for each in fields]
    known = {f"put_{name}": getattr(cls, name).__set__ for name in names}
    lines = [f"def __init__(self, {star}{', '.join(names)}):"]
    for each in fields:
        if each.default_factory is not MISSING:
            known |= {"UNSET": _UNSET, f"make_{each.name}": each.default_factory}
            lines.append(f" if {each.name} is UNSET: {each.name} = make_{each.name}()")
        lines.append(f" put_{each.name}(self, {each.name})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec("\n".join(lines), known)  # noqa: S102 - as `dataclasses` does; nothing but names of fields goes in
    init: Any = known["__init__"]
    defaults = {
        each.name: _UNSET if each.default is MISSING else each.default
        for each in fields
        if each.default is not MISSING or each.default_factory is not MISSING
    }
    if star:
        init.__kwdefaults__ = defaults
    else:
        init.__defaults__ = tuple(defaults.values())  # of the last ones: `dataclass` refuses any other order
    init.__annotations__ = {each.name: each.type for each in fields} | {"return": None}
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    return init


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    return self._values(self) == self._values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(self._values(self))


def _refuse(self: Any, name: str, deed: str) -> None:
    # A subclass that is no record may have attributes of its own.
    if "__dataclass_fields__" in type(self).__dict__ or name in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot {deed} field {name!r}")


def _setattr(self: Any, name: str, value: Any) -> None:
    _refuse(self, name, "assign to")
    object.__setattr__(self, name, value)


def _delattr(self: Any, name: str) -> None:
    _refuse(self, name, "delete")
    object.__delattr__(self, name)


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED: dict[str, Any] = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
