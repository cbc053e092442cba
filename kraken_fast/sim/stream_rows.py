"""The rows of `executions` and `balances`, with the members, their order and their decimals as on the wire.

What was recorded in 2026 is written that way, else what was recorded before, else what the schema says:
`pending_new`, `new`, `trade`, `amended`, `canceled` and both kinds of balance rows are recorded or documented,
`filled`, `expired`, `status` and the open orders of a snapshot are modelled on them.
"""

from __future__ import annotations

from decimal import Decimal

from .desk import BY_USER, RESTATED
from .instruments import Pair
from .records import ZERO, Execution, LedgerEntry, Order, OrderEvent
from .texts import padded, rfc3339

USD_PLACES = 4
"""Decimals of `fee_usd_equiv`, as recorded in 2026-01; it had the pair's before."""

CATEGORIES = {
    "margin": "margin-trade",
    "rollover": "marginrollover",
    "settled": "margin-settle",
    "staking": "staking-rewards",
}
"""The category of a ledger entry where it is not the entry's type."""

_STATUSES = {
    "pending_new": "pending_new",
    "trade": "partially_filled",  # even when it completes the order: `filled` comes by itself
    "filled": "filled",
    "canceled": "canceled",
    "expired": "expired",
}

Members = list[tuple[str, str]]
"""Names and values; the values are JSON already."""


def row_text(members: Members) -> str:
    """Write a row."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"


def order_status(order: Order) -> str:
    """Give the status of a live order."""
    if order.status == "pending":
        return "pending_new"
    return "partially_filled" if order.filled else "new"


def event_members(event: OrderEvent, pair: Pair, usd: Decimal, fee_asset_places: int) -> Members:
    """Give the row of one step in an order's life.

    Args:
        event: the step.
        pair: of the order.
        usd: what one unit of the fee's asset is worth in US dollars.
        fee_asset_places: decimals of a fee in the base asset.
    """
    if event.exec_type == "pending_new":
        return opening_members(event.order, pair, usd, event.time_ns)
    if event.exec_type == "trade":
        assert event.execution is not None
        return trade_members(event.execution, event.order, pair, usd, fee_asset_places, whole=True)
    writer = _WRITERS.get(event.exec_type)
    if writer is not None:
        return writer(event, pair)
    return _end(event, pair, usd)


def opening_members(order: Order, pair: Pair, usd: Decimal, time_ns: int) -> Members:
    """Give the whole of an order, as `pending_new` does."""
    members = [("order_id", _text(order.order_id)), ("symbol", _text(order.symbol)), *_size(order, pair)]
    members += [
        ("cum_cost", padded(order.cost, pair.cost_precision)),
        ("time_in_force", _text(order.time_in_force.upper())),
        ("exec_type", '"pending_new"'),
        ("side", _text(order.side)),
        ("order_type", _text(order.order_type)),
        *_ids(order),
        *_prices(order, pair),
    ]
    if order.expire_ns:
        members.append(("expire_time", _text(rfc3339(order.expire_ns))))
    if order.start_ns:
        members.append(("effective_time", _text(rfc3339(order.start_ns))))
    if order.close is not None:
        members.append(("contingent", _contingent(order)))
    if order.ref_id is not None:
        members.append(("ord_ref_id", _text(order.ref_id)))
    return [
        *members,
        *_flags(order),
        ("order_status", '"pending_new"'),
        ("fee_usd_equiv", padded(order.fee * usd, USD_PLACES)),
        ("fee_ccy_pref", _text("fcib" if order.flag("fcib") else "fciq")),
        ("timestamp", _text(rfc3339(time_ns))),
    ]


def open_members(order: Order, pair: Pair, usd: Decimal) -> Members:
    """Give the row of an open order in a snapshot."""
    members: Members = []
    for name, value in opening_members(order, pair, usd, order.changed_ns):
        if name == "cum_cost":
            members.append(("cum_qty", padded(order.filled, pair.qty_precision)))
        if name == "order_status" and order.amended:
            members.append(("amended", "true"))
        members.append((name, value))
        if name == "cum_cost":
            members.append(("avg_price", padded(average(order), pair.price_precision)))
    pending = order.status == "pending"
    live = {"exec_type": '"pending_new"' if pending else '"new"', "order_status": _text(order_status(order))}
    return [(name, live.get(name, value)) for name, value in members]


def trade_members(
    execution: Execution,
    order: Order,
    pair: Pair,
    usd: Decimal,
    fee_asset_places: int,
    *,
    whole: bool,
) -> Members:
    """Give the row of a fill.

    Args:
        execution: the fill.
        order: the order right after it; in a snapshot, as it is now.
        pair: its pair.
        usd: what one unit of the fee's asset is worth.
        fee_asset_places: decimals of a fee in the base asset.
        whole: an update says what is filled so far; a snapshot does not.
    """
    in_quote = execution.fee_asset == pair.quote
    fee = padded(execution.fee, pair.cost_precision if in_quote else fee_asset_places)
    members = [("order_id", _text(execution.order_id)), *_ids(order)]
    members += [
        ("exec_id", _text(execution.exec_id)),
        ("exec_type", '"trade"'),
        ("trade_id", str(execution.trade_id)),
        ("symbol", _text(execution.symbol)),
        ("side", _text(execution.side)),
        ("last_qty", padded(execution.qty, pair.qty_precision)),
        ("last_price", padded(execution.price, pair.price_precision)),
        ("liquidity_ind", '"m"' if execution.maker else '"t"'),
        ("cost", padded(execution.cost, pair.cost_precision)),
    ]
    order_type = ("order_type", _text(execution.order_type))
    time = ("timestamp", _text(rfc3339(execution.time_ns)))
    if whole:
        members += [
            order_type,
            time,
            ("order_status", '"partially_filled"'),
            *_filled(order, pair),
            ("avg_price", padded(average(order), pair.price_precision)),
            ("fee_usd_equiv", padded(order.fee * usd, USD_PLACES)),
        ]
    else:
        status = "filled" if order.status == "closed" else "partially_filled"
        members += [
            ("order_status", _text(status)),
            order_type,
            time,
            ("fee_usd_equiv", padded(execution.fee * usd, USD_PLACES)),
        ]
    return [*members, ("fees", f'[{{"asset":"{execution.fee_asset}","qty":{fee}}}]')]


def average(order: Order) -> Decimal:
    """Give the mean price of an order's fills, 0 without any."""
    return order.cost / order.filled if order.filled else ZERO


def balance_row(asset: str, balance: Decimal, places: int) -> str:
    """Write one asset of a `balances` snapshot; all that an account has lies in its spot wallet."""
    amount = padded(balance, places)
    return (
        f'{{"asset":"{asset}","asset_class":"currency",'
        f'"wallets":[{{"type":"spot","id":"main","balance":{amount}}}],"balance":{amount}}}'
    )


def ledger_members(entry: LedgerEntry, places: int) -> Members:
    """Give the row of one ledger entry in a `balances` update."""
    return [
        ("ledger_id", _text(entry.ledger_id)),
        ("ref_id", _text(entry.ref_id)),
        ("timestamp", _text(rfc3339(entry.time_ns))),
        ("type", _text(entry.type)),
        ("asset", _text(entry.asset)),
        ("asset_class", '"currency"'),
        ("category", _text(CATEGORIES.get(entry.type, entry.type))),
        ("wallet_type", '"spot"'),
        ("wallet_id", '"main"'),
        ("amount", padded(entry.amount, places)),
        ("fee", padded(entry.fee, places)),
        ("balance", padded(entry.balance, places)),
    ]


def _new(event: OrderEvent, _pair: Pair) -> Members:
    order = event.order
    head = [("timestamp", _text(rfc3339(event.time_ns))), ("order_status", '"new"'), ("exec_type", '"new"')]
    return [*head, *_ids(order), *_flags(order), ("order_id", _text(order.order_id))]


def _amended(event: OrderEvent, pair: Pair) -> Members:
    order = event.order
    members = [
        ("timestamp", _text(rfc3339(event.time_ns))),
        ("exec_type", _text(event.exec_type)),
        ("order_status", _text(order_status(order))),
        ("cum_qty", padded(order.filled, pair.qty_precision)),
        ("reason", _text(BY_USER if event.exec_type == "amended" else RESTATED)),
        ("amended", "true"),
        *_size(order, pair),
    ]
    limit = order.price2 or order.limit_price
    if limit is not None:
        members += [("limit_price", padded(limit, pair.price_precision)), ("limit_price_type", '"static"')]
    if order.has_trigger:
        members += [("triggers", _triggers(order, pair))]
    return [*members, *_ids(order), *_flags(order), ("order_id", _text(order.order_id))]


def _status(event: OrderEvent, pair: Pair) -> Members:
    order = event.order
    members = [
        ("timestamp", _text(rfc3339(event.time_ns))),
        ("order_status", _text(order_status(order))),
        ("exec_type", '"status"'),
    ]
    if order.has_trigger:
        members += [("triggers", _triggers(order, pair))]
        if order.triggered_ns:
            members += [("triggered_price", padded(order.price, pair.price_precision))]
    return [*members, *_ids(order), ("order_id", _text(order.order_id))]


def _refill(event: OrderEvent, pair: Pair) -> Members:
    order = event.order
    shown = padded(min(order.display, order.left), pair.qty_precision)
    return [
        ("timestamp", _text(rfc3339(event.time_ns))),
        ("order_status", _text(order_status(order))),
        ("exec_type", '"iceberg_refill"'),
        ("cum_qty", padded(order.filled, pair.qty_precision)),
        ("display_qty", padded(order.display, pair.qty_precision)),
        ("display_qty_remain", shown),
        ("order_id", _text(order.order_id)),
    ]


def _end(event: OrderEvent, pair: Pair, usd: Decimal) -> Members:
    order = event.order
    filled_qty, filled_cost = _filled(order, pair)
    members = [
        ("timestamp", _text(rfc3339(event.time_ns))),
        ("order_status", _text(_STATUSES[event.exec_type])),
        ("exec_type", _text(event.exec_type)),
        filled_qty,
        filled_cost,
        ("fee_usd_equiv", padded(order.fee * usd, USD_PLACES)),
        ("avg_price", padded(average(order), pair.price_precision)),
        *_ids(order),
        *_flags(order),
    ]
    if event.exec_type == "canceled":
        members.append(("cancel_reason", _text(order.reason or "")))
    if event.exec_type != "filled":
        members.append(("reason", _text(order.reason or "")))
    return [*members, ("order_id", _text(order.order_id))]


def _text(text: str) -> str:
    """Write a text as JSON. What gets here has neither quotes nor control characters, but for a client's id."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ids(order: Order) -> Members:
    """Give the client's name of an order; a number 0 says that it has none."""
    if order.cl_ord_id is not None:
        return [("cl_ord_id", _text(order.cl_ord_id))]
    return [("order_userref", str(order.userref))]


def _flags(order: Order) -> Members:
    return [("post_only", "true")] * order.flag("post")


def _size(order: Order, pair: Pair) -> Members:
    members = [("order_qty", padded(order.qty, pair.qty_precision))]
    if order.display:
        shown = min(order.display, order.left)
        members += [
            ("display_qty", padded(order.display, pair.qty_precision)),
            ("display_qty_remain", padded(shown, pair.qty_precision)),
        ]
    return members


def _filled(order: Order, pair: Pair) -> Members:
    return [
        ("cum_qty", padded(order.filled, pair.qty_precision)),
        ("cum_cost", padded(order.cost, pair.cost_precision)),
    ]


def _prices(order: Order, pair: Pair) -> Members:
    """Give limit and trigger; a plain order has a `stop_price` of 0 for those who still read that."""
    places = pair.price_precision
    limit = padded(order.price2 or order.limit_price or ZERO, places)
    if order.has_trigger:
        members = [
            ("limit_price_type", '"static"'),
            ("triggers", _triggers(order, pair)),
            ("stop_price", padded(order.price, places)),
        ]
        if order.price2:
            members.append(("limit_price", limit))
        return [*members, ("trigger", _text(order.reference))]
    if order.order_type == "market":
        return []
    return [("limit_price_type", '"static"'), ("limit_price", limit), ("stop_price", padded(ZERO, places))]


def _triggers(order: Order, pair: Pair) -> str:
    places = pair.price_precision
    price, price_type = padded(order.price, places), "static"
    members = []
    if order.trail:
        price_type = "pct" if order.trail.endswith("%") else "quote"
        members.append(("price", order.trail.lstrip("+").rstrip("%")))
    else:
        members.append(("price", price))
    members += [("price_type", _text(price_type)), ("reference", _text(order.reference))]
    if order.trail:
        members += [("actual_price", price), ("peak_price", padded(order.peak, places))]
    if order.triggered_ns:
        actual = [] if order.trail else [("actual_price", price)]
        members += [*actual, ("last_price", price)]
    members.append(("status", '"triggered"' if order.triggered_ns else '"untriggered"'))
    if order.triggered_ns:
        members.append(("timestamp", _text(rfc3339(order.triggered_ns))))
    return row_text(members)


def _contingent(order: Order) -> str:
    assert order.close is not None
    close = order.close
    prices = {"limit_price": close.price}
    if close.order_type != "limit":
        prices = {"trigger_price": close.price, **({"limit_price": close.price2} if close.price2 else {})}
    members = [("order_type", _text(close.order_type))]
    for name, price in prices.items():
        static = price.lstrip("+-#").rstrip("%") == price
        members += [(name, price), (f"{name}_type", '"static"')] if static else [(name, _text(price))]
    return row_text(members)


_WRITERS = {
    "new": _new,
    "amended": _amended,
    "restated": _amended,
    "status": _status,
    "iceberg_refill": _refill,
}
"""Who writes the steps that need neither fill nor fee."""
