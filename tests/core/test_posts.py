"""Posts: news, copies, repeats, and what is late or fits in nowhere."""

from __future__ import annotations

import pytest

from kraken_fast.core.clock import ManualClock
from kraken_fast.core.line import Line
from kraken_fast.core.posts import Post, Seat

S = 1_000_000_000


class Places:
    """A post with two lines that are alive, or not."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_ns=S)
        self.post = Post("ticker", "A/B")
        self.seats = {name: Seat(Line(self.clock, name=name)) for name in "AB"}

    def say(self, story: str) -> list[str]:
        """Offer `A5x`: line A tells state x of time 5; a capital X is a snapshot, a time of ? is none."""
        verdicts = []
        for word in story.split():
            name, at, content = word[0], word[1:-1], word[-1]
            verdicts.append(
                self.post.offer(
                    self.seats[name],
                    None if at == "?" else int(at),
                    ord(content.lower()),
                    begins=content.isupper(),
                    recv_ns=self.clock.monotonic_ns,
                )[0]
            )
        return verdicts


CASES = {
    "A1X B1X": "nc",
    "A1X A2b A3c B1X B2b B3c B4d A4d": "nnnccc" + "nc",
    "A1X A2b A2c A2b B1X B2b B2c B2b B3d": "nnnn" + "cccc" + "n",
    "A1X A2b A2b": "nnr",
    "A1X B1X A2b B2b B2b": "ncncr",
    "A1X A2b A3c B2B B3c": "nnncc",  # B begins in the middle
    "A1X A2b A3c B1X B3c": "nnncc",  # B lost one that did not show
    "A5X A6b B3C B4d B6b": "nnllc",  # B begins long ago and is not followed until it is level
    "A5X B7B A6b A7b": "nn" + "lc",  # not patient: the newest is what counts
    "A5X A6b A6c B5X B6b B6d": "nnncco",  # as old as what was told, and different
    "A5X A6b B6C": "nnn",  # B begins with a later state of the same time
    "A6B B6a": "no",  # A began there: what B tells may be older
    "A9X A3b A4c B9X B3b B4c": "nnnccc",  # time goes back on the line itself: its order is the truth
    "A?x A?y B?x B?y B?z A?z": "nnccnc",  # captures before 2026 carry no time
}


@pytest.mark.parametrize("story", CASES)
def test_what_is_told_and_what_is_not(story: str) -> None:
    assert "".join(Places().say(story)) == CASES[story]


def test_a_line_further_behind_than_the_ring_is_late_until_it_is_level() -> None:
    places = Places()
    places.say(" ".join(f"A{i}x" for i in range(1, 101)))
    assert set(places.say(" ".join(f"B{i}x" for i in range(1, 60)))) == {"l"}
    assert set(places.say(" ".join(f"B{i}x" for i in range(69, 101)))) == {"c"}
    assert places.say("B101x A101x") == ["n", "c"]
    assert (places.post.count, places.post.late) == (101, 59)


def test_a_head_from_the_future_that_died_is_given_up() -> None:
    places = Places()
    places.say("A1X B1X A900b")
    assert places.say("B2c B3d") == ["l", "l"]
    places.clock.advance(5 * S)
    assert places.say("B4e") == ["l"], "the bound is more than five seconds"
    places.clock.advance(1)
    assert places.say("B5f B6g") == ["n", "n"]


def test_a_seat_tells_how_far_it_is() -> None:
    places = Places()
    places.say("A1X")
    places.clock.advance(7)
    places.say("A2b B1X")
    a, b = places.seats["A"], places.seats["B"]
    assert (a.place, a.placed, a.said, a.lag_ns) == (2, True, 2, 0)
    assert (b.place, b.placed, b.said, b.lag_ns, b.begun_ns) == (1, True, 1, 7, S + 7)
    assert not a.is_serving, "its line was never heard"
    assert "2 states, 2 lines" in repr(places.post)
    assert places.post.sit(Seat(a.line)) in places.post.seats
    assert len(places.post.seats) == 2, "a line has one seat"
