"""From the parameters of a request to an order that is well formed, or to the words of its refusal.

Nothing here looks at balances or books: that is the engine's part (`desk.py`), and Kraken keeps the two apart
as well. A batch is refused whole for what is found here, order by order for what is found there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from .instruments import Pair
from .params import WORTH_MAX, Params, invalid, plain_decimal
from .records import ZERO, Close, Order, StpType
from .refusals import RestError
from .texts import NS_PER_S, NS_PER_US, padded
from .trailing import check_trail, followed

TRAILING = ("trailing-stop", "trailing-stop-limit")
TRIGGERED = ("stop-loss", "take-profit", "stop-loss-limit", "take-profit-limit", *TRAILING)
LIMITS = ("limit", "iceberg")
ORDER_TYPES = ("market", *LIMITS, *TRIGGERED)

DEADLINE_MAX_NS = 60 * NS_PER_S
EXPIRE_MIN_NS = 5 * NS_PER_S
EXPIRE_MAX_NS = 31 * 86_400 * NS_PER_S
"""An order lives at most one month if it is to expire."""

START_MAX_NS = 366 * 86_400 * NS_PER_S
"""Kraken documents no bound for a start; later than this no box lives."""

SCHEDULE_AHEAD_NS = 5 * NS_PER_S
"""An order that starts sooner than this is not counted as scheduled."""

DISPLAY_PARTS_MAX = 15

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")
_FREE_ID = re.compile(r"[\x21-\x7e]{1,18}")
_OFLAGS = {"post", "fcib", "fciq", "viqc", "nompp"}
_SIGNED = re.compile(r"([+\-#]?)([0-9.]+)(%?)")


@dataclass(frozen=True, slots=True)
class Draft:
    """An order as asked for.

    Attributes:
        order: without id and hold. With the flag `viqc` its quantity is still an amount of the quote asset.
        deadline_ns: the engine refuses it later than this; None for never.
    """

    order: Order
    deadline_ns: int | None


def draft(params: Params, pair: Pair, last: Decimal, now_ns: int) -> Draft:
    """Read the parameters of AddOrder.

    Args:
        params: of the call, or of one order of a batch.
        pair: what is traded.
        last: its last price, which relative prices refer to.
        now_ns: when the call came.

    Raises:
        RestError: something is missing, malformed or does not go together.
    """
    side = params.text("type")
    if side not in ("buy", "sell"):
        raise invalid("type")
    order_type = _order_type(params)
    oflags = _oflags(params, side, order_type)
    qty = params.decimal("volume")
    places = pair.cost_precision if "viqc" in oflags else pair.qty_precision
    if qty is None or not 0 < qty < WORTH_MAX or qty != round(qty, places):
        raise invalid("volume")
    _no_margin(params)
    tif, expire_ns = _time_in_force(params, order_type, now_ns)
    if "post" in oflags and tif in ("ioc", "fok"):
        raise invalid("oflags")
    if params.text("trigger") == "index" and not pair.has_index:
        raise RestError("EGeneral:Invalid arguments:Index unavailable")
    price, price2 = _prices(params, pair, order_type, side, last)
    order = Order(
        order_id="",
        symbol=pair.symbol,
        side="buy" if side == "buy" else "sell",
        order_type=order_type,
        qty=qty.quantize(Decimal(1).scaleb(-places)),
        created_ns=now_ns,
        changed_ns=now_ns,
        price=price,
        price2=price2,
        limit_price=price if order_type in LIMITS else None,
        display=display_qty(params, "displayvol", pair) if order_type == "iceberg" else ZERO,
        cl_ord_id=_cl_ord_id(params),
        userref=_userref(params),
        oflags=",".join(oflags),
        time_in_force=tif,
        stp=_stp(params),
        start_ns=_start(params, now_ns),
        expire_ns=expire_ns,
        close=_close(params),
        reference="index" if params.text("trigger") == "index" else "last",
    )
    if order_type in TRAILING:
        order = followed(_with_trail(order, params), last, pair)
    check_display(order)
    if order.qty * max(order.price, order.price2, Decimal(1)) >= WORTH_MAX:
        raise invalid("volume")
    if order.cl_ord_id is not None and (order.userref or order.close):
        raise invalid("cl_ord_id")  # documented as exclusive; the words are ours
    check_size(order, pair, last)
    return Draft(order, read_deadline(params, now_ns))


def check_size(order: Order, pair: Pair, last: Decimal) -> None:
    """Refuse an order that is smaller than its pair allows.

    Raises:
        RestError: volume or cost is below the minimum.
    """
    viqc = order.flag("viqc")
    if not viqc and order.qty < pair.qty_min:
        raise RestError("EOrder:Order minimum not met")
    cost = order.qty if viqc else order.qty * (order.limit_price or order.price2 or order.price or last)
    if cost < pair.cost_min:
        raise RestError("EOrder:Cost minimum not met")


def check_display(order: Order) -> None:
    """Refuse an iceberg that shows less than a fifteenth of what is left, or more than it was for.

    Raises:
        RestError: it does.
    """
    if order.order_type == "iceberg" and not order.left / DISPLAY_PARTS_MAX <= order.display <= order.qty:
        raise invalid("display-volume")


def display_qty(params: Params, name: str, pair: Pair) -> Decimal:
    """Read how much of an iceberg is to show.

    Raises:
        RestError: it is no quantity of the pair.
    """
    display = params.decimal(name)
    if display is None or not 0 < display < WORTH_MAX or display != round(display, pair.qty_precision):
        raise invalid("display-volume")
    return display.quantize(pair.qty_increment)


def exact_price(text: str, pair: Pair, name: str) -> Decimal:
    """Read an absolute price.

    Raises:
        RestError: it is no positive number, or has more decimals than the pair.
    """
    price = plain_decimal(text, name)
    if not 0 < price < WORTH_MAX:
        raise invalid(name)
    if price != round(price, pair.price_precision):
        words = f"price can only be specified up to {pair.price_precision} decimals."
        raise RestError(f"EOrder:Invalid price:{pair.altname} {words}")
    return price.quantize(pair.price_increment)


def priced(text: str, pair: Pair, reference: Decimal, name: str, *, rises: bool) -> Decimal:
    """Read a price, absolute or relative to a reference: `+5`, `-5`, `#5`, each with or without `%`.

    Args:
        text: the price.
        pair: whose decimals a relative price is rounded to.
        reference: what a relative price counts from.
        name: of the parameter.
        rises: the direction that `#` takes.

    Raises:
        RestError: it cannot be read.
    """
    found = _SIGNED.fullmatch(text)
    if found is None:
        raise invalid(name)
    sign, digits, percent = found.groups()
    if not sign and not percent:
        return exact_price(text, pair, name)
    distance = plain_decimal(digits, name)
    if distance >= WORTH_MAX:
        raise invalid(name)
    if percent:
        distance = reference * distance / 100
    if sign == "-" or (sign == "#" and not rises):
        distance = -distance
    price = reference + distance
    if not 0 < price < WORTH_MAX:
        raise invalid(name)
    return exact_price(format(price.quantize(pair.price_increment, rounding=ROUND_HALF_UP), "f"), pair, name)


def prose(order: Order, pair: Pair) -> str:
    """Describe an order as Kraken does.

    Never parse this: Kraken does not promise its form.
    """
    price, limit = padded(order.price, pair.price_precision), padded(order.price2, pair.price_precision)
    how = order.order_type.removesuffix("-limit").replace("-", " ")
    if order.order_type == "market":
        terms = "market"
    elif order.trail:
        terms = f"{how} {order.trail}" + (f" -> limit {order.trail_limit}" if order.trail_limit else "")
    elif order.order_type.endswith("-limit"):
        terms = f"{how} {price} -> limit {limit}"
    else:
        terms = f"{how} {price}"
    return f"{order.side} {padded(order.qty, pair.qty_precision)} {pair.altname} @ {terms}"


def close_prose(close: Close) -> str:
    """Describe the order that a fill places."""
    how = close.order_type.removesuffix("-limit").replace("-", " ") or "limit"
    limit = f" -> limit {close.price2}" if close.price2 else ""
    return f"close position @ {how} {close.price}{limit}"


def _order_type(params: Params) -> str:
    order_type = params.text("ordertype") or ""
    if order_type == "settle-position":  # there is no margin here, so there are no positions
        raise RestError("EOrder:Unknown position")
    if order_type not in ORDER_TYPES:
        raise invalid("ordertype")
    if params.text("trigger", "last") not in ("last", "index"):
        raise invalid("trigger")
    return order_type


def _oflags(params: Params, side: str, order_type: str) -> list[str]:
    flags = params.names("oflags")
    if not _OFLAGS.issuperset(flags) or {"fcib", "fciq"}.issubset(flags):
        raise invalid("oflags")
    if "post" in flags and order_type not in LIMITS:
        raise invalid("oflags")
    if "viqc" in flags and (side, order_type) != ("buy", "market"):
        raise invalid("viqc")
    # Kraken's pages disagree on the currency of a fee that nobody chose; executions show the quote's.
    fee = "fcib" if "fcib" in flags else "fciq"
    return [fee, *(flag for flag in ("post", "viqc") if flag in flags)]


def _prices(params: Params, pair: Pair, order_type: str, side: str, last: Decimal) -> tuple[Decimal, Decimal]:
    """Give the limit or the trigger, and the limit behind a trigger; zeros where there is none."""
    if order_type == "market" or order_type in TRAILING:
        return ZERO, ZERO
    buys = side == "buy"
    rises = buys == order_type.startswith("stop-loss")
    price = priced(params.required("price"), pair, last, "price", rises=rises)
    if order_type not in ("stop-loss-limit", "take-profit-limit"):
        return price, ZERO
    return price, priced(params.required("price2"), pair, price, "price2", rises=buys)


def _with_trail(order: Order, params: Params) -> Order:
    trail = check_trail(params.required("price"), "price", positive=True)
    if order.order_type == "trailing-stop":
        return replace(order, trail=trail)
    limit = check_trail(params.required("price2"), "price2", positive=False)
    return replace(order, trail=trail, trail_limit=limit)


def _no_margin(params: Params) -> None:
    """There is no margin here, which for Kraken is an account that may not use it."""
    if (params.text("leverage") or "none") not in ("none", "0", "1"):
        raise RestError("EOrder:Cannot open position")
    if params.boolean("reduce_only"):
        raise RestError("EOrder:Reduce only:No position exists")


def _time_in_force(params: Params, order_type: str, now_ns: int) -> tuple[str, int]:
    expire_ns = _moment(params, "expiretm", now_ns)
    tif = (params.text("timeinforce") or ("gtd" if expire_ns else "gtc")).lower()
    if tif not in ("gtc", "gtd", "ioc", "fok") or (tif != "gtc" and order_type == "market" and tif != "ioc"):
        raise invalid("timeinforce")
    if (tif == "gtd") != bool(expire_ns):
        raise invalid("expiretm")
    if expire_ns and not EXPIRE_MIN_NS <= expire_ns - now_ns <= EXPIRE_MAX_NS:
        raise invalid("expiretm")
    return tif, expire_ns


def _start(params: Params, now_ns: int) -> int:
    start_ns = _moment(params, "starttm", now_ns)
    if start_ns > now_ns + START_MAX_NS:
        raise invalid("starttm")
    return start_ns if start_ns > now_ns else 0


def _moment(params: Params, name: str, now_ns: int) -> int:
    """Read a time: unix seconds, or `+n` seconds from now; 0 is none."""
    text = params.text(name) or "0"
    number = plain_decimal(text.removeprefix("+"), name)
    if number < 0:
        raise invalid(name)
    return int(number * NS_PER_S) + (now_ns if text.startswith("+") else 0)


def _cl_ord_id(params: Params) -> str | None:
    text = params.text("cl_ord_id")
    if not text:
        return None
    if not _UUID.fullmatch(text) and not _FREE_ID.fullmatch(text):
        raise invalid()
    return text


def _userref(params: Params) -> int:
    number = params.integer("userref", 0)
    if not -(2**31) <= number < 2**31:
        raise invalid("userref")
    return number


def _stp(params: Params) -> StpType:
    kinds: dict[str, StpType] = {
        "cancel-newest": "cancel-newest",
        "cancel-oldest": "cancel-oldest",
        "cancel-both": "cancel-both",
    }
    text = params.text("stptype") or "cancel-newest"
    if text not in kinds:
        raise invalid("stptype")
    return kinds[text]


def _close(params: Params) -> Close | None:
    close = params.nested("close")
    if close is None:
        return None
    order_type = close.text("ordertype") or ""
    if order_type not in ("limit", *TRIGGERED):
        raise invalid("close[ordertype]")
    price2 = close.text("price2") or ""
    if order_type.endswith("-limit") != bool(price2):
        raise invalid("close[price2]")
    return Close(order_type, close.required("price"), price2)


def read_deadline(params: Params, now_ns: int) -> int | None:
    """Read the time after which the engine is to refuse.

    The documented least of two seconds holds where the order was signed; it may have travelled since.

    Raises:
        RestError: it is no time with a zone, or more than a minute away.
    """
    text = params.text("deadline")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("deadline") from None
    if moment.tzinfo is None:
        raise invalid("deadline")
    seconds = int(moment.replace(microsecond=0).timestamp())
    deadline_ns = seconds * NS_PER_S + moment.microsecond * NS_PER_US
    if deadline_ns > now_ns + DEADLINE_MAX_NS:
        raise invalid("deadline")
    return deadline_ns
