"""How order entry behaves, and what it keeps in: settings, checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Literal

from ..errors import ConfigError
from ..rest.engine_limits import ENGINE_TIERS
from .rules import DEADLINE_MAX_S, DEADLINE_MIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLimits:
    """What no order may exceed, whoever asks. None leaves it open. Money is in the pair's quote unit.

    Attributes:
        order_notional_max: of one order, by its limit or, without one, by the best opposite price.
        open_notional_max: of all live orders with a limit and the new one together.
        open_orders_max: of one pair; the tier's ceiling holds in any case.
        collar: how far, as a part of the best opposite price, a limit may reach through the book: "0.05" is 5 %.
        needs_quote: refuse what cannot be judged because no live book is at hand.
    """

    order_notional_max: Decimal | None = None
    open_notional_max: Decimal | None = None
    open_orders_max: int | None = None
    collar: Decimal | None = None
    needs_quote: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float):
                raise ConfigError(each.name, value, f'a Decimal, for a float is not exact: Decimal("{value}")')
            if value is not None and value is not False and value is not True and value <= 0:
                raise ConfigError(each.name, value, "above 0, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSettings:
    """Times in seconds.

    Attributes:
        deadline_s: after so long the engine refuses an order that is still on its way.
        answer_s: an order without answer or event for so long is unknown.
        cancel_s: a cancel without answer for so long is repeated, once, by REST.
        on_unknown: `raise` tells the caller of `add_order` at once, `wait` only when the outcome is known.
        when_limited: `wait` for the trading counter, or `refuse`.
        rate_wait_max_s: longer waits are refused.
        rest_fallback: orders go by REST when it is certain that the line did not take them.
        tier: of the trading counter, until the exchange tells.
        switch_s: of the dead man's switch; 0 leaves it off. renew_s: how often it is renewed.
        on_exit: what becomes of open orders at the end: leave, cancel, or ask.
        exit_s: how long the end may take.
        rest_lag_s: how far REST may be behind the engine; only what it says later proves that an order is nowhere.
    """

    deadline_s: float = 5.0
    answer_s: float = 2.0
    cancel_s: float = 2.0
    on_unknown: Literal["raise", "wait"] = "raise"
    when_limited: Literal["wait", "refuse"] = "wait"
    rate_wait_max_s: float = 60.0
    rest_fallback: bool = True
    tier: str = "starter"
    switch_s: int = 0
    renew_s: float = 15.0
    on_exit: Literal["leave", "cancel", "ask"] = "leave"
    exit_s: float = 5.0
    rest_lag_s: float = 60.0
    limits: OrderLimits = OrderLimits()

    def __post_init__(self) -> None:
        if not DEADLINE_MIN_S <= self.deadline_s <= DEADLINE_MAX_S:
            raise ConfigError("deadline_s", self.deadline_s, f"{DEADLINE_MIN_S} to {DEADLINE_MAX_S:g}")
        for name in ("answer_s", "cancel_s", "rate_wait_max_s", "renew_s", "exit_s", "rest_lag_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise ConfigError(name, getattr(self, name), "above 0, and an hour at most")
        for name, words in (
            ("on_unknown", ("raise", "wait")),
            ("when_limited", ("wait", "refuse")),
            ("on_exit", ("leave", "cancel", "ask")),
            ("tier", tuple(ENGINE_TIERS)),
        ):
            if getattr(self, name) not in words:
                raise ConfigError(name, getattr(self, name), f"one of {', '.join(words)}")
        if self.switch_s and not self.renew_s * 2 <= self.switch_s <= 86_399:
            raise ConfigError("switch_s", self.switch_s, "0, or at least twice renew_s, and below a day")
