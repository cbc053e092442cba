"""The book against the reference: seeded random walks and hypothesis, every invariant after every step."""

from __future__ import annotations

from random import Random

import pytest
from bookwire import Row, Twins
from hypothesis import given, settings
from hypothesis import strategies as st
from report import note

LARGEST = 2**63 - 1

Messages = list[tuple[str, list[Row], list[Row]]]


def walk(random: Random, depth: int, steps: int) -> Messages:
    """Updates around a moving price: near and far levels, removals known and unknown, the same price twice, sweeps."""
    middle, span = 10_000, max(4, depth * 2)
    messages: Messages = []
    for _ in range(steps):
        middle = max(span + 1, middle + random.randrange(-3, 4))
        rows: list[list[Row]] = [[], []]
        for side, sign in ((0, -1), (1, 1)):
            count = random.choices([0, 1, 2, 5, depth + 3], [40, 30, 20, 9, 1])[0]
            for _ in range(count):
                distance = random.choice(
                    [random.randrange(-2, 4), random.randrange(1, 13), random.randrange(1, span)]
                )
                qty = random.choice([0, 0, 1, random.randrange(1, 10**6), random.randrange(1, 10**12)])
                rows[side].append((max(0, middle + sign * distance), qty))
            if rows[side] and random.random() < 0.1:
                rows[side].append((rows[side][0][0], random.randrange(2) * random.randrange(10**9)))
        kind = "snapshot" if random.random() < 0.01 else "update"
        messages.append((kind, rows[0], rows[1]))
    return messages


@pytest.mark.fault("D06", kind="U")
@pytest.mark.fault("D07", kind="U")
@pytest.mark.fault("D08", kind="U")
@pytest.mark.fault("D09", kind="U")
@pytest.mark.parametrize(
    ("depth", "steps"),
    [
        (1, 600),
        (2, 600),
        (3, 600),
        (9, 800),
        (10, 3000),
        (11, 800),
        (25, 1500),
        (100, 600),
        (500, 120),
        (1000, 80),
    ],
)
@pytest.mark.parametrize("portable", [True, False], ids=["tables", "clmul"])
def test_a_long_random_walk(depth: int, steps: int, portable: bool) -> None:
    seed = 20_261_122 + depth
    random = Random(seed)
    print(f"seed {seed}")
    scales = random.randrange(0, 9), random.randrange(0, 9)
    twins = Twins(depth, scales, portable=portable)
    start = (
        [(10_000 - i, 1 + i) for i in range(1, depth + 1)],
        [(10_000 + i, 1 + i) for i in range(1, depth + 1)],
    )
    twins.send("snapshot", *start)
    for kind, bids, asks in walk(random, depth, steps):
        twins.send(kind, bids, asks)
    assert twins.book.mismatched == twins.book.dropped == 0
    note("book walks compared with the reference", "20 walks of 80 to 3,000 messages, depths 1 to 1,000")


levels = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 30), st.integers(0, LARGEST), st.sampled_from([0, 1, LARGEST - 1, LARGEST])),
        st.one_of(st.just(0), st.integers(1, 30), st.integers(1, LARGEST), st.just(LARGEST)),
    ),
    max_size=24,
)


@pytest.mark.fault("D05", kind="U")
@settings(max_examples=400, deadline=None)
@given(
    depth=st.sampled_from([1, 2, 5, 9, 10, 11, 25, 1000]),
    scales=st.tuples(st.integers(0, 18), st.integers(0, 18)),
    told=st.booleans(),
    first=st.tuples(levels, levels),
    rest=st.lists(st.tuples(st.sampled_from(["update", "update", "snapshot"]), levels, levels), max_size=12),
)
def test_any_messages_at_any_scale(
    depth: int,
    scales: tuple[int, int],
    told: bool,
    first: tuple[list[Row], list[Row]],
    rest: Messages,
) -> None:
    """Thin books, empty sides, unsorted and repeated snapshot rows, extremes of the integers, scales 0 to 18."""
    twins = Twins(depth, scales, told=told)
    twins.send("snapshot", *first)
    for kind, bids, asks in rest:
        twins.send(kind, bids, asks)
    copy = twins.book.snapshot()
    assert (copy.bids, copy.asks, copy.verified_depth) == (twins.book.bids, twins.book.asks, depth)


@pytest.mark.parametrize("depth", [10, 1000])
def test_a_message_of_thousands_of_rows(depth: int) -> None:
    random = Random(4)
    twins = Twins(depth, (2, 8))
    rows = [(random.randrange(1, 10**6), random.randrange(1, 10**9)) for _ in range(4_900)]
    twins.send("snapshot", rows, [(price + 10**6, qty) for price, qty in rows])
    twins.send("update", [(price, qty % 2) for price, qty in rows], rows)
    twins.send("update", [(price, 0) for price, _ in rows], [(price, 0) for price, _ in rows])
    twins.send("update", [(5, 5)], [(6, 6)])
