"""Carries out a plan: the faults of the exchange, of the network and of the client's machine, each at its time.

    stage = Stage(plan, loop, core, network)
    stage.on_user_act = user.act                # what the user does is the user's business
    stage.begin()
    ...
    stage.heal()                                # faults off

What a fault does stands in `faults.py` and `network.py`; here is only when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from .core import ExchangeCore
from .network import Network
from .plan import OF_THE_USER, Act, Plan
from .virtual import VirtualLoop

_OF_THE_NETWORK = frozenset({"dns_down", "syn_lost"})


class Stage:
    """One plan on one exchange and one network.

    Attributes:
        done: how often each kind of act began.
        on_user_act: told of what the user is to do.
    """

    def __init__(self, plan: Plan, loop: VirtualLoop, core: ExchangeCore, network: Network) -> None:
        self.done: Counter[str] = Counter()
        self.on_user_act: Callable[[Act], None] = lambda _act: None
        self._plan = plan
        self._loop = loop
        self._core = core
        self._network = network

    @property
    def injected(self) -> int:
        """How often a fault struck so far: as the exchange counts its own, and each act of the others once."""
        ours = sum(count for kind, count in self.done.items() if kind in _OF_THE_NETWORK or kind == "block")
        return self._core.faults.fired.total() + ours

    def begin(self) -> None:
        """Let every act begin at its time from now on."""
        for act in self._plan.acts:
            self._loop.call_later(act.begin_s, partial(self._begin, act))

    def heal(self) -> None:
        """End all faults; what they hold back comes at once."""
        self._core.faults.clear()
        for connection in self._network.connections.values():
            if connection.line is not None:
                connection.line.hurry()
        self._network.wake()
        self._network.dns_down = self._network.syn_lost = False
        if self._core.system_status != "online":
            self._core.set_system_status("online")

    def _begin(self, act: Act) -> None:
        self.done[act.kind] += 1
        settings = dict(act.settings)
        if act.kind in OF_THE_USER:
            self.on_user_act(act)
        elif act.kind in _OF_THE_NETWORK:
            setattr(self._network, act.kind, True)
            self._loop.call_later(act.lasts_s, partial(setattr, self._network, act.kind, False))
        elif act.kind == "block":
            self._loop.block(settings["seconds"])
        else:
            self._inject(act, settings)

    def _inject(self, act: Act, settings: dict[str, Any]) -> None:
        if act.kind == "raw":
            settings = {"data": bytes.fromhex(str(settings["hex"]))}
        elif act.kind == "precision":
            symbol, price = settings["pair"]
            if symbol not in self._plan.symbols:
                return
            settings = {"symbol": symbol, "price": price, "qty": settings["qty"]}
        fault = self._core.faults.inject(act.kind, **settings)
        if act.lasts_s:
            self._loop.call_later(act.lasts_s, fault.clear)
