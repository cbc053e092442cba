"""What goes wrong for one who trades: drawn from a seed, as `plan` draws it for one who reads market data.

    plan = draw_trader(57)

Faults of the network and of the line are those of `plan`; here are those of orders, of an account's channels, of REST
and of the trader's own process. What the trader does is drawn too, in bursts, each from a number of its own: a plan
that was cut down trades in what is left of it as it did before.
"""

from __future__ import annotations

from random import Random

from .network import Route
from .plan import FAULTS_S, KINDS, Act, Draws, Plan, always, from_to, lasting, once, one_of

SYMBOL = "BTC/USD"
TRADES = ("add_order", "amend_order", "batch_add", "cancel_order", "batch_cancel", "cancel_all")

_TRADE = one_of(*TRADES, None, None)
"""None for whichever request comes."""

_HISTORY = ("OpenOrders", "ClosedOrders", "QueryOrders", "TradesHistory")
_READS = one_of(*_HISTORY, "GetWebSocketsToken", "BalanceEx", None)
_CALLS = one_of(*_HISTORY, "AddOrder", "CancelOrder", "CancelAll", None)
_REFUSALS = one_of(
    "EOrder:Insufficient funds", "EService:Unavailable", "EService:Deadline elapsed", "EGeneral:Internal error"
)  # fmt: skip
_NOT_NOW = one_of(["EService:Unavailable"], ["EService:Busy"], ["EAPI:Rate limit exceeded"])
_ACCOUNT = one_of("executions", "balances")

_OF_THE_LINE = (
    "rst", "fin", "half_open", "hole", "latency", "slice", "drip", "refuse", "hang", "upgrade_status", "fragment",
    "interleave_control", "close", "no_close_reply", "no_heartbeat", "heartbeat_only", "no_ack", "ack_then_silence",
    "msg_rate", "duplicate_ack", "late_ack", "stray_ack", "dns_down", "syn_lost", "block",
)  # fmt: skip
"""Kinds of `plan` that strike a private line as well."""

TRADER_KINDS: dict[str, Draws] = {
    **{kind: KINDS[kind] for kind in _OF_THE_LINE},
    "no_ack": lasting(8.0, channel=_ACCOUNT),
    "ack_then_silence": lasting(8.0, channel=_ACCOUNT),
    "system_status": once(status=one_of("maintenance", "cancel_only", "post_only", "limit_only", "online", "online")),
    # An account's channels.
    "drop": always(0.05, channel=_ACCOUNT),
    "duplicate": always(0.05, channel=_ACCOUNT),
    "swap": always(0.03, channel=_ACCOUNT),
    "stream_lag": lasting(10.0, ms=from_to(10, 3000)),
    "seq_gap": once(channel=_ACCOUNT),
    "seq_repeat": once(channel=_ACCOUNT),
    "seq_reset": once(channel=_ACCOUNT),
    "no_snapshot": lasting(8.0, channel=_ACCOUNT),
    "late_snapshot": lasting(20.0, channel=_ACCOUNT, ms=from_to(1, 4000)),
    # Trading requests and what becomes of orders.
    "request_lost": once(endpoint=_TRADE, reset=one_of(False, True)),
    "reject": once(endpoint=_TRADE, error=_REFUSALS),
    "accept_no_reply": once(endpoint=_TRADE),
    "accept_then_reset": once(endpoint=_TRADE),
    "reply_late": once(endpoint=_TRADE, ms=from_to(100, 8000)),
    "reply_twice": once(endpoint=_TRADE),
    "arrive_late": once(endpoint=one_of("add_order", "AddOrder"), ms=from_to(100, 6000)),
    "event_before_reply": lasting(20.0),
    "reply_before_event": lasting(20.0),
    "cancel_race_fill": once(share=one_of("0.5", "1")),
    "fill_during_gap": once(fills=from_to(1, 5)),
    "unsolicited_cancel": once(),
    "restate": once(),
    "external_order": once(),
    "dms_fire": once(),
    # Tokens and REST.
    "token": once(),
    "token_ttl": lasting(20.0, seconds=from_to(1, 5)),
    "token_revoked": once(),
    "status": once(endpoint=_CALLS, code=one_of(500, 502, 503, 520)),
    "errors": once(endpoint=_READS, errors=_NOT_NOW),
    "act_then_fail": once(endpoint=_CALLS, code=one_of(0, 502, 520)),
    "body": once(endpoint=_CALLS, form=one_of("html", "empty", "truncated", "cut", "wrong_type")),
    "idle_close": once(endpoint=_CALLS),
    "late": once(endpoint=_CALLS, ms=from_to(100, 12_000)),
    "lag": lasting(30.0, endpoint=one_of(*_HISTORY), seconds=from_to(1, 55)),
    # The trader's process and machine.
    "crash": once(
        where=one_of("now", "before journal", "torn journal", "after journal", "before send", "after send"),
        pause_ms=from_to(50, 8000),
    ),
    "journal_fails": lasting(5.0),
    "wall_step": once(seconds=one_of(-3600, -7, 7, 90, 3600)),
    "switch": once(),
}
"""Every kind with how it is drawn."""


def draw_trader(seed: int) -> Plan:
    """Draw the plan of a seed.

    >>> draw_trader(7) == Plan.from_json(draw_trader(7).to_json())
    True
    """
    rng = Random(f"trader/{seed}")
    count = len(TRADER_KINDS) if rng.random() < 0.03 else min(len(TRADER_KINDS), 1 + int(rng.expovariate(0.2)))
    acts = []
    for kind in rng.sample(sorted(TRADER_KINDS), count):
        acts += [Act(act.begin_s, act.lasts_s, kind, _plain(act)) for act in TRADER_KINDS[kind](rng)]
    for _ in range(rng.randint(2, 6)):
        begin_s = rng.uniform(0, FAULTS_S - 1)
        settings = {"each_ms": rng.choice((50, 200, 1000)), "number": rng.randrange(1 << 30)}
        acts.append(Act(begin_s, min(rng.uniform(2.0, 30.0), FAULTS_S - begin_s), "trade", settings))
    acts += _half_open_reconnect(Random(f"trader/{seed}/reconnect"))
    acts += _backlog(Random(f"trader/{seed}/backlog"))
    if Random(f"trader/{seed}/others").random() < 0.3:
        acts.append(Act(0.0, 0.0, "other_lines"))
    return Plan(
        seed=seed,
        symbols=(SYMBOL,),
        channels=("executions", "balances"),
        depth=10,
        rate=rng.choice((0.0, rng.uniform(0.5, 8.0))),
        route=Route(
            up_ms=rng.uniform(0.1, 50),
            down_ms=rng.uniform(0.1, 50),
            jitter_ms=rng.choice((0.0, rng.uniform(0, 100))),
            coalesce_ms=rng.choice((0.0, 0.0, rng.uniform(1, 50))),
        ),
        timers_first=rng.random() < 0.5,
        acts=tuple(sorted(acts, key=lambda act: act.begin_s)),
        who="trader",
    )


def _half_open_reconnect(rng: Random) -> list[Act]:
    """Lose a line, and let the next one come up half-open."""
    if rng.random() >= 0.2:
        return []
    begin_s = rng.uniform(1.0, FAULTS_S - 2)
    return [Act(begin_s, 0.0, "rst"), Act(begin_s + rng.uniform(0.0, 0.2), 0.0, "half_open")]


def _backlog(rng: Random) -> list[Act]:
    """Lose a line, and with it more fills than a snapshot holds, while REST lags and the next line tells late.

    By less than two seconds: with more, an order's absence is no proof, and order entry takes it for one.
    """
    if rng.random() >= 0.2:
        return []
    begin_s = rng.uniform(3.0, FAULTS_S - 15)
    trades = {"each_ms": 50, "number": rng.randrange(1 << 30)}
    return [
        Act(begin_s - 2.0, 12.0, "trade", trades),
        Act(begin_s, 0.0, "fill_during_gap", {"fills": rng.randint(55, 70)}),
        Act(begin_s, 12.0, "lag", {"endpoint": "TradesHistory", "seconds": 1}),
        Act(begin_s, 12.0, "stream_lag", {"ms": rng.randint(500, 1900)}),
        Act(begin_s, 0.0, "rst"),
    ]


def _plain(act: Act) -> dict[str, object]:
    """Leave out what matches everything."""
    return {name: value for name, value in act.settings.items() if not (name == "endpoint" and value is None)}
