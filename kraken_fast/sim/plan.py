"""What goes wrong in one run, and what the user does meanwhile: drawn from a seed, a list that stands on its own.

    plan = draw(57)                             # all that seed 57 makes happen
    Plan.from_json(plan.to_json()) == plan      # so that it can be kept, cut down and run again without the seed's draw

Swarm testing: each run knows only a few kinds of faults, drawn at random, so that no kind hides another; some know
nearly all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from .network import Route
from .tamper import HARMLESS, MUTATIONS

FAULTS_S = 60.0
"""Length of the phase with faults, unless told."""

SYMBOLS = [
    "BTC/USD",
    "ETH/USD",
    "DOGE/USD",
    "SOL/USD",
    "XRP/USD",
    "ADA/USD",
    "DOT/USD",
    "LTC/USD",
    "LINK/USD",
    "ETH/BTC",
    "SHIB/USD",
    "ATOM/USD",
    "UNI/USD",
    "XLM/USD",
    "TRX/USD",
    "ALGO/USD",
    "AVAX/USD",
    "BCH/USD",
    "EUR/USD",
    "USDT/USD",
]

EVENTS_PER_S = 60.0
"""Of all markets together: what one core simulates some thirty times as fast as it happens."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens, from a time on, for a while.

    Attributes:
        kind: of `KINDS`: a fault of the exchange, of the network, of the client's machine, or something its user does.
        settings: parameters, plain JSON values.
    """

    begin_s: float
    lasts_s: float
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.begin_s:7.3f} s for {self.lasts_s:6.3f} s: {self.kind} {self.settings or ''}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        rate: of the crowd, actions a second and market.
        faults_s: length of the phase with faults.
        who: whose run it is: feed, or trader.
    """

    seed: int
    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    depth: int
    rate: float
    route: Route
    timers_first: bool
    acts: tuple[Act, ...]
    faults_s: float = FAULTS_S
    who: str = "feed"

    def to_json(self) -> str:
        """Write the whole plan as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: that is no plan.
        """
        plan = json.loads(text)
        plan["route"] = Route(**plan["route"])
        plan["acts"] = tuple(Act(**act) for act in plan["acts"])
        plan["symbols"], plan["channels"] = tuple(plan["symbols"]), tuple(plan["channels"])
        return cls(**plan)

    def __str__(self) -> str:
        route = ", ".join(f"{name} {value:.1f}" for name, value in asdict(self.route).items())
        head = (
            f"seed {self.seed}: {self.faults_s:g} s, {len(self.symbols)} symbols, {', '.join(self.channels)}, "
            f"depth {self.depth}, rate {self.rate:.1f}, {route}, timers {'first' if self.timers_first else 'last'}"
        )
        return "\n".join([head, *(f"  {act}" for act in self.acts)])


def _now_and_then(rng: Random, settings: Callable[[Random], dict[str, Any]], times_max: int) -> list[Act]:
    return [
        Act(rng.uniform(0, FAULTS_S), 0.0, "", settings(rng))
        for _ in range(rng.randint(1, times_max))
    ]


def _for_a_while(
    rng: Random, settings: Callable[[Random], dict[str, Any]], longest_s: float, times_max: int = 3
) -> list[Act]:
    acts = []
    for _ in range(rng.randint(1, times_max)):
        begin_s = rng.uniform(0, FAULTS_S - 1)
        lasts_s = min(rng.uniform(0.1, longest_s), FAULTS_S - begin_s)
        acts.append(Act(begin_s, lasts_s, "", settings(rng)))
    return acts


Draws = Callable[[Random], list[Act]]
"""Draws when a kind strikes, for how long, and how."""


def once(**settings: Callable[[Random], Any]) -> Draws:
    """Strike one to six times, each at a moment."""
    return lambda rng: _now_and_then(rng, lambda r: {name: draw(r) for name, draw in settings.items()}, 6)


def lasting(longest_s: float, **settings: Callable[[Random], Any]) -> Draws:
    """Strike one to three times, each for a while."""
    return lambda rng: _for_a_while(
        rng, lambda r: {name: draw(r) for name, draw in settings.items()}, longest_s
    )


def always(rate_max: float, **settings: Callable[[Random], Any]) -> Draws:
    """Strike each message with some probability, all the time."""
    def acts(rng: Random) -> list[Act]:
        drawn = {name: draw(rng) for name, draw in settings.items()}
        drawn |= {"count": None, "probability": rng.uniform(0, rate_max)}
        return [Act(0.0, FAULTS_S, "", drawn)]

    return acts


def one_of(*values: Any) -> Callable[[Random], Any]:
    """Draw one of these."""
    return lambda rng: rng.choice(values)


def from_to(low: int, high: int) -> Callable[[Random], int]:
    """Draw a whole number, both ends included."""
    return lambda rng: rng.randint(low, high)


_BOOK = one_of("book")

# Symbol and decimals of its prices, such that none becomes zero.
_PRECISIONS = (
    [("BTC/USD", n) for n in (0, 1, 2, 3)]
    + [("ETH/USD", n) for n in (1, 2, 4)]
    + [("DOGE/USD", n) for n in (6, 7, 8)]
)

KINDS: dict[str, Draws] = {
    # The exchange in a box, see its faults.KINDS.
    "rst": once(),
    "fin": once(),
    "half_open": once(),
    "hole": lasting(8.0, direction=one_of("down", "up", "both")),
    "latency": lasting(30.0, ms=from_to(0, 100), jitter_ms=from_to(0, 200)),
    "slice": lasting(20.0, size_bytes=from_to(1, 60)),
    "bandwidth": lasting(10.0, bytes_per_s=from_to(20_000, 200_000)),
    "drip": lasting(0.5, interval_ms=from_to(1, 2)),
    "refuse": lasting(10.0),
    "hang": lasting(10.0),
    "upgrade_status": lasting(5.0, status=one_of(500, 502, 503, 520)),
    "raw": once(hex=lambda rng: rng.randbytes(rng.randint(1, 40)).hex()),
    "fragment": lasting(20.0, size_bytes=from_to(20, 200)),
    "interleave_control": lasting(20.0),
    "rsv": once(bits=from_to(1, 7)),
    "opcode": once(opcode=one_of(3, 7, 11, 15)),
    "mask": once(),
    "length": once(width_bytes=one_of(2, 8)),
    "len64": once(size_bytes=one_of(1 << 63, 1 << 40)),
    "binary": once(),
    "bad_utf8": once(),
    "ping_flood": lasting(5.0, rate=from_to(10, 200)),
    "close": once(code=one_of(1000, 1001, 1008, 1011, 1012, 1013, 2999), reason=one_of("", "restarting")),
    "double_close": once(),
    "no_close_reply": lasting(20.0),
    "drop": always(0.01),
    "duplicate": always(0.05),
    "swap": always(0.01),
    "delay": always(0.01, ms=from_to(1, 3000)),
    "bad_checksum": always(0.01),
    "mutate": always(0.02, mutation=one_of(*(name for name in (*MUTATIONS, *HARMLESS) if name != "deep"))),
    "no_snapshot": lasting(8.0, channel=_BOOK),
    "late_snapshot": lasting(20.0, channel=_BOOK, ms=from_to(1, 8000)),
    "second_snapshot": always(0.03),
    "no_heartbeat": lasting(20.0),
    "heartbeat_only": lasting(5.0),
    "no_ack": lasting(8.0, channel=_BOOK),
    "ack_then_silence": lasting(8.0, channel=_BOOK),
    "msg_rate": lasting(3.0),
    "duplicate_ack": lasting(30.0),
    "late_ack": lasting(30.0, ms=from_to(1, 2000)),
    "stray_ack": lasting(30.0),
    "precision": once(pair=lambda rng: list(rng.choice(_PRECISIONS)), qty=one_of(None, 4, 6, 8)),
    "system_status": once(status=one_of("maintenance", "cancel_only", "post_only", "limit_only", "online")),
    # The network and the client's own machine.
    "dns_down": lasting(8.0),
    "syn_lost": lasting(8.0),
    "block": once(seconds=lambda rng: rng.uniform(0.2, 5.0)),
    # The user.
    "unsubscribe": lasting(10.0, pick=from_to(0, 19)),
    "late_subscribe": once(pick=from_to(0, 19)),
    "read_strictly": lasting(20.0, each_ms=from_to(50, 500)),
    "slow_reader": lasting(30.0, each_ms=from_to(20, 1000), size=from_to(1, 50)),
    "raise": lasting(10.0, channel=one_of("book", "ticker", "trade", "candle")),
    "restart": once(is_crash=one_of(False, True)),
}
"""Every kind with how it is drawn."""

OF_A_READER = frozenset({"unsubscribe", "late_subscribe", "read_strictly", "slow_reader", "raise", "restart"})
OF_A_TRADER = frozenset({"trade", "crash", "journal_fails", "wall_step", "switch", "other_lines"})
OF_THE_USER = OF_A_READER | OF_A_TRADER
"""What is the user's business; a trader's kinds are drawn in `trader_plan`."""


def draw(seed: int) -> Plan:
    """Draw the plan of a seed.

    >>> draw(7) == Plan.from_json(draw(7).to_json())
    True
    """
    rng = Random(f"swarm/{seed}")
    symbols = tuple(rng.sample(SYMBOLS, rng.choice((1, 2, 3, 5, 8, 20))))
    channels = ("book", *(name for name in ("ticker", "trade", "ohlc") if rng.random() < 0.5))
    count = len(KINDS) if rng.random() < 0.05 else min(len(KINDS), 1 + int(rng.expovariate(0.2)))
    acts = []
    for kind in rng.sample(sorted(KINDS), count):
        acts += [Act(act.begin_s, act.lasts_s, kind, act.settings) for act in KINDS[kind](rng)]
    return Plan(
        seed=seed,
        symbols=symbols,
        channels=channels,
        depth=rng.choice((10, 10, 25)),
        rate=rng.uniform(0.2, EVENTS_PER_S) / len(symbols),
        route=Route(
            up_ms=rng.uniform(0.1, 50),
            down_ms=rng.uniform(0.1, 50),
            jitter_ms=rng.choice((0.0, rng.uniform(0, 200))),
            coalesce_ms=rng.choice((0.0, 0.0, rng.uniform(1, 100))),
        ),
        timers_first=rng.random() < 0.5,
        acts=tuple(sorted(acts, key=lambda act: act.begin_s)),
    )
