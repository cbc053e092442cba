"""A pair's rules, checked before anything is sent: steps, minimums, and what exchange and pair take at present.

Messages say the nearest value that is valid. What cannot be known here is left to the exchange: the price that a market
order will get, and what a relative price will become.

Source: websocket-v2.md sections 4 and 8.5; rest.md sections 6 and 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from ..errors import InvalidOrderError, OrderBlockedError
from ..types import Instrument

TAKES_NOTHING = frozenset({"maintenance", "work_in_progress", "delisted", "disabled"})

BATCH_MIN, BATCH_MAX = 2, 15
BATCH_CANCEL_MIN, BATCH_CANCEL_MAX = 2, 50
TIMEOUT_MAX_S = 86_399
DEADLINE_MIN_S, DEADLINE_MAX_S = 0.5, 60.0


def check_order(params: Mapping[str, Any], pair: Instrument, reference: Decimal | None = None) -> None:
    """Check an order's parameters, as `request` gives them, by its pair.

    Args:
        params: numbers are Decimal.
        pair: as the `instrument` channel tells it now.
        reference: a price by which to judge the cost of an order that names none, or None.

    Raises:
        InvalidOrderError: with the rule, and the nearest value that keeps it.
    """
    qty = params.get("order_qty")
    if qty is not None:
        _check_step("order_qty", qty, pair.qty_increment, pair)
        if pair.qty_min is not None and qty < pair.qty_min:
            raise InvalidOrderError("order_qty", qty, f"{pair.symbol} takes {pair.qty_min} at least")
    display = params.get("display_qty")
    if display is not None:
        _check_step("display_qty", display, pair.qty_increment, pair)
    price = _check_prices(params, pair)
    _check_cost(params, pair, reference if price is None else price)


def check_amend(params: Mapping[str, Any], pair: Instrument) -> None:
    """Check the new terms of an order by its pair.

    Raises:
        InvalidOrderError: as `check_order`. A quantity below the minimum is the exchange's to judge: it counts fills.
    """
    for name in ("order_qty", "display_qty"):
        if name in params:
            _check_step(name, params[name], pair.qty_increment, pair)
    _check_prices(params, pair)
    if params.get("trigger_price_type", "static") == "static" and "trigger_price" in params:
        _check_step("trigger_price", params["trigger_price"], pair.price_increment, pair)


def _check_prices(params: Mapping[str, Any], pair: Instrument) -> Decimal | None:
    """Check what is an absolute price, and give the one at which the order would trade."""
    absolute: Decimal | None = None
    triggers = params.get("triggers")
    if triggers is not None and triggers.get("price_type", "static") == "static":
        absolute = triggers["price"]
        _check_step("triggers.price", absolute, pair.price_increment, pair)
    limit = params.get("limit_price")
    if limit is not None and _is_absolute_limit(params):
        absolute = limit
        _check_step("limit_price", limit, pair.price_increment, pair)
    close = params.get("conditional")
    if close is not None:
        for name in ("limit_price", "trigger_price"):
            if name in close and not close["order_type"].startswith("trailing"):
                _check_step(f"conditional.{name}", close[name], pair.price_increment, pair)
    return absolute


def _is_absolute_limit(params: Mapping[str, Any]) -> bool:
    default = "quote" if params.get("order_type") == "trailing-stop-limit" else "static"
    return bool(params.get("limit_price_type", default) == "static")


def _check_step(field: str, value: Decimal, step: Decimal | None, pair: Instrument) -> None:
    if step is None or step <= 0 or not value % step:
        return
    below = (value / step).to_integral_value(ROUND_FLOOR) * step
    above = (value / step).to_integral_value(ROUND_CEILING) * step
    near = f"{below:f} or {above:f}" if below > 0 else f"{above:f}"
    raise InvalidOrderError(field, format(value, "f"), f"{pair.symbol} has steps of {step:f}: {near}")


def _check_cost(params: Mapping[str, Any], pair: Instrument, price: Decimal | None) -> None:
    least = pair.cost_min
    if least is None:
        return
    cash, qty = params.get("cash_order_qty"), params.get("order_qty")
    if cash is not None:
        if cash < least:
            raise InvalidOrderError("cash_order_qty", cash, f"{pair.symbol} takes {least:f} {pair.quote} at least")
    elif qty is not None and price is not None and price > 0 and qty * price < least:
        step = pair.qty_increment or Decimal(1).scaleb(-pair.qty_precision)
        needed = (least / price / step).to_integral_value(ROUND_CEILING) * step
        rule = f"a cost of {qty * price:f} {pair.quote} is below {least:f}: at this price {needed:f} at least"
        raise InvalidOrderError("order_qty", format(qty, "f"), rule)


def check_states(params: Mapping[str, Any], pair: Instrument, system: str | None) -> None:
    """Check that exchange and pair take such an order now.

    Args:
        params: of the order.
        pair: its status counts.
        system: state of the engine, None while it is not known.

    Raises:
        OrderBlockedError: one does not, and says which; nothing is sent.
    """
    for what, state in (("the exchange", system), (pair.symbol, pair.status)):
        # The everyday case costs one comparison each.
        if state != "online" and (refusal := _refusal(params, state)):
            raise OrderBlockedError(f"{what} is in state {state or 'unknown'}: {refusal}")


def _refusal(params: Mapping[str, Any], state: str | None) -> str:
    if state is None:
        return "its status has not come yet"
    if state == "cancel_only":
        return "cancels only"
    if state == "post_only" and not params.get("post_only"):
        return "limit orders with post_only only"
    if state == "limit_only" and params.get("order_type") not in ("limit", "iceberg"):
        return "limit orders only"
    if state == "reduce_only" and not params.get("reduce_only"):
        return "orders with reduce_only only"
    if state in TAKES_NOTHING:
        return "no orders"
    return ""


def check_cancels(system: str | None) -> None:
    """Check that the exchange takes cancels now: always but in maintenance.

    Raises:
        OrderBlockedError: it does not.
    """
    if system == "maintenance":
        raise OrderBlockedError("the exchange is in maintenance: no cancels")


def check_count(field: str, count: int, least: int, most: int) -> None:
    """Check how many there are of something.

    Raises:
        InvalidOrderError: too few or too many.
    """
    if not least <= count <= most:
        raise InvalidOrderError(field, count, f"{least} to {most} of them")


def check_timeout(timeout_s: int) -> int:
    """Check the time of the dead man's switch; 0 disarms it.

    Raises:
        InvalidOrderError: no whole number of seconds below a day.
    """
    if type(timeout_s) is not int or not 0 <= timeout_s <= TIMEOUT_MAX_S:
        raise InvalidOrderError("timeout", timeout_s, f"a whole number of seconds from 0 to {TIMEOUT_MAX_S}")
    return timeout_s


def check_deadline(seconds: float) -> float:
    """Check how long an order may travel.

    Raises:
        InvalidOrderError: outside of what the exchange takes.
    """
    if not DEADLINE_MIN_S <= seconds <= DEADLINE_MAX_S:
        raise InvalidOrderError("deadline_s", seconds, f"{DEADLINE_MIN_S} to {DEADLINE_MAX_S:g} s")
    return seconds
