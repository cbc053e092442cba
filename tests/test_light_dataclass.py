"""A light dataclass against the one of the standard library: whatever is done to both has the same outcome."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from kraken_fast.light_dataclass import light_dataclass


class Body:
    """What the twins have in common."""

    __slots__ = ()

    def __post_init__(self) -> None:
        if self.price < 0:  # type: ignore[attr-defined]
            raise ValueError("negative")


@light_dataclass(frozen=True, slots=True)
class Light(Body):
    """A quote."""

    symbol: str
    price: int = 7
    notes: list[str] = dataclasses.field(default_factory=list)
    hidden: str = dataclasses.field(default="h", repr=False)

    @property
    def double(self) -> int:
        return 2 * self.price


@dataclasses.dataclass(frozen=True, slots=True)
class Heavy(Body):
    """A quote."""

    symbol: str
    price: int = 7
    notes: list[str] = dataclasses.field(default_factory=list)
    hidden: str = dataclasses.field(default="h", repr=False)

    @property
    def double(self) -> int:
        return 2 * self.price


@light_dataclass(frozen=True, slots=True, kw_only=True)
class LightNamed:
    """Named values only."""

    first: int = 1
    second: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeavyNamed:
    """Named values only."""

    first: int = 1
    second: int


class LightChild(Light):
    """No dataclass itself; has attributes of its own."""


class HeavyChild(Heavy):
    """No dataclass itself; has attributes of its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class LightGrown(Light):
    """An ordinary dataclass on top."""

    more: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class HeavyGrown(Heavy):
    """An ordinary dataclass on top."""

    more: int = 0


def outcome(deed: Any, cls: Any) -> Any:
    """Give what a deed gives or raises, as a text in which the twins have one name."""
    try:
        result = repr(deed(cls))
    except Exception as error:  # noqa: BLE001 - compared, whatever it is
        result = f"{type(error).__name__}: {error}"
    return result.replace("Heavy", "Light")


def set_and_read(one: Any, name: str) -> Any:
    setattr(one, name, 1)
    return getattr(one, name)


DEEDS = {
    "text": lambda cls: cls("BTC/USD", hidden="secret"),
    "defaults": lambda cls: (cls("a").price, cls("a").notes, cls("a").hidden),
    "a factory makes anew": lambda cls: cls("a").notes is not cls("a").notes,
    "too few": lambda cls: cls(),
    "too many": lambda cls: cls(1, 2, 3, 4, 5, 6),
    "unknown": lambda cls: cls("a", unknown=1),
    "post init": lambda cls: cls("a", -1),
    "equal": lambda cls: (cls("a") == cls("a"), cls("a") == cls("b"), cls("a") != cls("a"), cls("a") == ("a", 7)),
    "equal for itself alone": lambda cls: cls("a").__eq__(1),
    "hash": lambda cls: (hash(cls("a", 1, ())) == hash(cls("a", 1, ())), {cls("a", 1, ()): 5}[cls("a", 1, ())]),
    "hash of a list": lambda cls: hash(cls("a")),
    "hash is the tuple's": lambda cls: hash(cls("a", 1, ())),
    "assign": lambda cls: set_and_read(cls("a"), "symbol"),
    "delete": lambda cls: delattr(cls("a"), "symbol"),
    "has no dict": lambda cls: hasattr(cls("a"), "__dict__"),
    "property": lambda cls: cls("a", 4).double,
    "replace": lambda cls: dataclasses.replace(cls("a"), price=3),
    "replace and check": lambda cls: dataclasses.replace(cls("a"), price=-3),
    "asdict": lambda cls: dataclasses.asdict(cls("a", 1, ["n"])),
    "fields": lambda cls: [(each.name, each.type, each.default) for each in dataclasses.fields(cls)],
    "signature": inspect.signature,
    "match": lambda cls: cls.__match_args__,
    "pickle": lambda cls: pickle.loads(pickle.dumps(cls("a", 2, ["n"], "x"))).hidden,  # noqa: S301 - our own
    "copy": lambda cls: copy.deepcopy(cls("a", 2, ["n"])),
    "parameters": lambda cls: cls.__dataclass_params__,
    "names": lambda cls: (cls.__doc__, cls.__init__.__qualname__, cls.__init__.__module__),
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
@pytest.mark.parametrize(("light", "heavy"), [(Light, Heavy), (LightChild, HeavyChild), (LightGrown, HeavyGrown)])
def test_outcomes_are_the_same(deed: Any, light: Any, heavy: Any) -> None:
    assert outcome(deed, light) == outcome(deed, heavy)


@pytest.mark.parametrize(
    "deed",
    [
        lambda cls: cls(second=2),
        lambda cls: cls(2, 3),
        lambda cls: cls(first=2),
        lambda cls: cls(second=2) == cls(first=1, second=2),
        lambda cls: dataclasses.replace(cls(second=2), first=5),
        inspect.signature,
    ],
)
def test_named_values(deed: Any) -> None:
    assert outcome(deed, LightNamed) == outcome(deed, HeavyNamed)


def test_no_other_attribute_can_be_set_but_on_a_subclass() -> None:
    """Here Python 3.11's own stumbles over the class that it replaced, with a TypeError."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field 'other'"):
        set_and_read(Light("a"), "other")
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'other'"):
        del Light("a").other  # type: ignore[attr-defined]
    child = LightChild("a")
    assert set_and_read(child, "other") == 1
    del child.other  # type: ignore[attr-defined]
    assert not hasattr(child, "other")


def test_records_of_two_classes_differ() -> None:
    heavy: Any = Heavy("a")
    assert Light("a") != heavy
    assert Light("a") != LightChild("a")


def test_a_dataclass_that_may_change_cannot_inherit() -> None:
    with pytest.raises(TypeError, match="non-frozen"):

        @dataclasses.dataclass
        class Loose(Light):  # type: ignore[misc]  # which is the point
            more: int = 0


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(AssertionError):

        @light_dataclass(frozen=True, slots=True)
        class Odd:
            silent: int = dataclasses.field(default=0, compare=False)
