"""The smallest plan that still fails in the same way: what a person wants to read instead of a minute of noise.

Theory of operation. A plan is a list that stands on its own, so any part of it can be left out and the rest run again.
Acts go first, by delta debugging: halves, then quarters, and so on down to single acts, keeping every cut after which
the run still fails with the same word. Then symbols, channels and the network's moods go one by one, and the end of
the phase with faults is drawn in to the last act. Every run costs about a second: `runs_max` bounds them, and what is
smallest by then is given.

Source: A. Zeller and R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .network import Route
from .plan import Act, Plan

Run = Callable[[Plan], str]
"""Runs a plan and gives the word of its failure, such as the number of an invariant; empty when it holds."""

TAIL_S = 5.0
"""Seconds with faults that stay behind the last act: some bounds need them to be broken."""


class _Shrinker:
    def __init__(self, run: Run, word: str, runs_max: int) -> None:
        self._run = run
        self._word = word
        self.runs_left = runs_max

    def fails(self, plan: Plan) -> bool:
        if self.runs_left <= 0:
            return False
        self.runs_left -= 1
        return self._run(plan) == self._word

    def acts(self, plan: Plan) -> Plan:
        """Leave out acts, in ever smaller pieces."""
        size = max(1, len(plan.acts) // 2)
        while plan.acts:
            kept = self._without_pieces(plan, size)
            if len(kept.acts) == len(plan.acts):
                if size == 1:
                    break
                size = max(1, size // 2)
            plan = kept
            size = min(size, max(1, len(plan.acts)))
        return plan

    def _without_pieces(self, plan: Plan, size: int) -> Plan:
        begin = 0
        while begin < len(plan.acts):
            smaller = replace(plan, acts=plan.acts[:begin] + plan.acts[begin + size :])
            if self.fails(smaller):
                plan = smaller
            else:
                begin += size
        return plan

    def rest(self, plan: Plan) -> Plan:
        """Make everything else plainer, one thing at a time."""
        for make in (_without_symbols, _without_channels, _plainer):
            again = True
            while again:
                again = False
                for smaller in make(plan):
                    if self.fails(smaller):
                        plan, again = smaller, True
                        break
        return plan


def _without_symbols(plan: Plan) -> Iterator[Plan]:
    if len(plan.symbols) > 1:
        half = len(plan.symbols) // 2
        for symbols in (plan.symbols[:half], plan.symbols[half:]):
            yield replace(plan, symbols=symbols)
        if half > 1:
            for each in plan.symbols:
                yield replace(plan, symbols=tuple(other for other in plan.symbols if other != each))


def _without_channels(plan: Plan) -> Iterator[Plan]:
    for each in plan.channels:
        if each != "book":  # by which a run is judged
            yield replace(plan, channels=tuple(other for other in plan.channels if other != each))


def _plainer(plan: Plan) -> Iterator[Plan]:
    if plan.route != Route():
        yield replace(plan, route=Route())
    if plan.timers_first:
        yield replace(plan, timers_first=False)
    end_s = max((act.begin_s + act.lasts_s for act in plan.acts), default=0.0) + TAIL_S
    if end_s < plan.faults_s:
        yield replace(plan, faults_s=end_s)
    for place, act in enumerate(plan.acts):
        if act.lasts_s > 1.0:
            shorter = Act(act.begin_s, act.lasts_s / 2, act.kind, act.settings)
            yield replace(plan, acts=(*plan.acts[:place], shorter, *plan.acts[place + 1 :]))


def shrink(plan: Plan, run: Run, *, runs_max: int = 200) -> Plan:
    """Give the smallest plan found that fails with the same word as `plan`; `plan` itself if nothing can go.

    Args:
        plan: one that fails.
        run: runs a plan, see `Run`.
        runs_max: runs to spend.
    """
    word = run(plan)
    shrinker = _Shrinker(run, word, runs_max)
    return shrinker.rest(shrinker.acts(plan)) if word else plan
