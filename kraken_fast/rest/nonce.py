"""Nonces: strictly increasing per key, across tasks, threads and processes, clock steps and restarts.

Theory of operation. Kraken accepts a call only if its nonce is above the highest it has seen for the key, so
two calls in flight can overtake each other and one fails. Therefore whoever uses a key holds its lock from
taking the nonce until the answer. The lock and the last nonce are one small file per key; `flock` excludes
other processes, other clients in this process and other threads alike. A nonce is `max(last + 1, now)` and is
stored before it is used: no clock step and no crash makes one come twice.

What it costs: private calls of all processes that share a key go one after another, one per round trip. Waiting
is by asking again every few milliseconds, without blocking the loop. Who needs more takes a second key.

The unit. Nonces only have to rise, but a key that was once used with nanoseconds refuses milliseconds for ever,
and a key that others use with milliseconds is spoilt for them by one nanosecond nonce. So the unit is the one
that the key already uses: as stored; else as the caller says; else found by probing upward from seconds, one
unit for each refusal.

Invariant: while `unit` is not confirmed the file says so, and what was sent is stored all the same.

Source: rest.md section 3; https://support.kraken.com articles 360001148023 and 360000906023.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol

from ..core.clock import Clock
from ..errors import ConfigError

_log = logging.getLogger("kraken_fast.nonce")

DAY_NS = 86_400 * 1_000_000_000
TICKS_AT_EPOCH = 621_355_968_000_000_000

UNITS: dict[str, Callable[[int], int]] = {
    "s": lambda epoch_ns: epoch_ns // 1_000_000_000,
    "ms": lambda epoch_ns: epoch_ns // 1_000_000,
    "us": lambda epoch_ns: epoch_ns // 1_000,
    "10ns": lambda epoch_ns: epoch_ns // 10,
    "ticks": lambda epoch_ns: epoch_ns // 100 + TICKS_AT_EPOCH,
    "ns": lambda epoch_ns: epoch_ns,
}
"""The units in use, smallest nonce first: what each makes of a wall time. Ticks are .NET's, 100 ns since the year 1.

>>> list(UNITS), UNITS["ms"](1_767_225_600_123_456_789)
(['s', 'ms', 'us', '10ns', 'ticks', 'ns'], 1767225600123)
"""


@dataclass(frozen=True, slots=True)
class KeyState:
    """What is stored of a key.

    Attributes:
        last: the highest nonce that was ever handed out, 0 for none.
        unit: one of `UNITS`, "" while nothing is known.
        confirmed: the exchange has accepted a nonce of that unit.
        locked_until_ns: end of a lockout, wall time in ns since epoch; 0 for none.
    """

    last: int = 0
    unit: str = ""
    confirmed: bool = False
    locked_until_ns: int = 0


class NonceStore(Protocol):
    """Where the state of one key is kept. Reading and writing need the lock."""

    def try_lock(self) -> bool:
        """Take the lock if nobody has it."""
        ...

    def unlock(self) -> None:
        """Give the lock back."""
        ...

    def read(self) -> KeyState:
        """Give the state as stored last, by whichever process."""
        ...

    def write(self, state: KeyState) -> None:
        """Store a state; when this returns, a crash of this process cannot lose it."""
        ...


class MemoryNonces:
    """Keeps a key's state in this process alone: for tests, and where no directory can be written."""

    def __init__(self, state: KeyState | None = None) -> None:
        self._state = state or KeyState()
        self._locked = False

    def try_lock(self) -> bool:
        """See `NonceStore`."""
        if self._locked:
            return False
        self._locked = True
        return True

    def unlock(self) -> None:
        """See `NonceStore`."""
        self._locked = False

    def read(self) -> KeyState:
        """See `NonceStore`."""
        return self._state

    def write(self, state: KeyState) -> None:
        """See `NonceStore`."""
        self._state = state


class FileNonces:
    """Keeps a key's state in one small file, shared by all processes of a user on this machine.

    The file is one line of fixed width, overwritten in place: it is shorter than a page, so no reader and no
    crash of ours finds half of it, and unlike a renamed file it can be the lock as well.

    Args:
        directory: made if missing, for the owner only.
        key_id: names the key, see `Credentials.key_id`.

    Raises:
        ConfigError: on first use, when the file cannot be had.
    """

    LINE_BYTES = 64

    def __init__(self, directory: str | Path, key_id: str) -> None:
        self.path = Path(directory) / f"nonce-{key_id}"
        self._handle = -1
        self._pid = 0

    @classmethod
    def of_user(cls, key_id: str) -> FileNonces:
        """Return the user's own, in `$XDG_STATE_HOME/kraken_fast` or `~/.local/state/kraken_fast`."""
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return cls(Path(state) / "kraken_fast", key_id)

    def try_lock(self) -> bool:
        """See `NonceStore`."""
        if self._pid != os.getpid():  # after a fork the child would share our lock instead of waiting for it
            self._open()
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """See `NonceStore`."""
        if self._pid == os.getpid():
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def read(self) -> KeyState:
        """See `NonceStore`."""
        line = os.pread(self._handle, self.LINE_BYTES, 0)
        words = line.decode("ascii", "replace").split()
        if not words:
            return KeyState()
        try:
            last, unit, locked_until_ns = words
            state = KeyState(
                int(last), unit.rstrip("?").strip("-"), not unit.endswith("?"), int(locked_until_ns)
            )
        except ValueError:
            state = KeyState(unit="damaged")
        if state.unit not in ("", *UNITS):
            _log.warning("%s is damaged; the unit of the nonce is found anew", self.path)
            return KeyState()
        return state

    def write(self, state: KeyState) -> None:
        """See `NonceStore`."""
        unit = (state.unit or "-") + ("" if state.confirmed else "?")
        line = f"{state.last:020d} {unit:<7} {state.locked_until_ns:020d}"
        os.pwrite(self._handle, f"{line:<{self.LINE_BYTES - 1}}\n".encode(), 0)

    def close(self) -> None:
        """Close the file."""
        if self._pid == os.getpid():
            os.close(self._handle)
        self._pid = 0

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle = os.open(self.path, flags, 0o600)
            os.fchmod(self._handle, 0o600)
        except OSError as error:
            raise ConfigError(
                "nonces", str(self.path), f"a file that can be written ({error.strerror}), or MemoryNonces()"
            ) from error
        self._pid = os.getpid()


class NonceLane:
    """Hands out the nonces of one key, to one call at a time.

    Args:
        store: of the key.
        clock: wall time, and nothing is assumed of it.
        rng: spreads the waiting of several processes.
        unit: as the caller says the key uses; None finds it.
    """

    POLL_S = 0.0005
    POLL_MAX_S = 0.008
    PROBES_MAX = len(UNITS) - 1

    def __init__(self, store: NonceStore, clock: Clock, rng: Random, *, unit: str | None = None) -> None:
        if unit is not None and unit not in UNITS:
            raise ConfigError("nonce_unit", unit, f"one of {', '.join(UNITS)}")
        self._store = store
        self._clock = clock
        self._rng = rng
        self._wanted = unit
        self._state = KeyState()
        self._is_held = False

    async def acquire(self) -> None:
        """Wait for the key's lock; it is held until `release`.

        Raises:
            ConfigError: the stored state contradicts what the caller said, or lies far in the future.
        """
        poll_s = self.POLL_S
        while not self._store.try_lock():
            await asyncio.sleep(self._rng.uniform(0.5, 1.0) * poll_s)
            poll_s = min(poll_s * 2, self.POLL_MAX_S)
        self._is_held = True
        try:
            self._state = self._store.read()
            self._check()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        if self._is_held:
            self._is_held = False
            self._store.unlock()

    @property
    def is_confirmed(self) -> bool:
        """Whether the exchange has accepted a nonce of this unit. As of the last `acquire`."""
        return self._state.confirmed

    @property
    def unit(self) -> str:
        """The unit in use. As of the last `acquire`."""
        return self._state.unit or self._wanted or next(iter(UNITS))

    @property
    def last(self) -> int:
        """The highest nonce handed out. As of the last `acquire`."""
        return self._state.last

    @property
    def locked_s(self) -> float:
        """Seconds left of a lockout. As of the last `acquire`."""
        return max(0, self._state.locked_until_ns - self._clock.epoch_ns) / 1e9

    def take(self) -> str:
        """Take the next nonce. It is stored when this returns."""
        assert self._is_held, "the lock is held from taking the nonce until the answer"
        nonce = max(self._state.last + 1, UNITS[self.unit](self._clock.epoch_ns))
        self._keep(replace(self._state, last=nonce, unit=self.unit))
        return str(nonce)

    def confirm(self) -> None:
        """The exchange accepted the last nonce."""
        if not self._state.confirmed:
            self._keep(replace(self._state, confirmed=True))

    def probe_further(self) -> bool:
        """Go on to the next unit after a refusal. False when the unit is not a guess, or the last."""
        units = list(UNITS)
        place = units.index(self.unit)
        if self._state.confirmed or self._wanted is not None or place == len(units) - 1:
            return False
        self._keep(replace(self._state, unit=units[place + 1]))
        return True

    def lock_out(self, seconds: float) -> None:
        """Note a lockout, for us and for whoever uses the key on this machine, after a restart too."""
        self._keep(replace(self._state, locked_until_ns=self._clock.epoch_ns + round(seconds * 1e9)))

    def _keep(self, state: KeyState) -> None:
        self._state = state
        self._store.write(state)

    def _check(self) -> None:
        state = self._state
        if state.unit and state.confirmed and self._wanted not in (None, state.unit):
            raise ConfigError(
                "nonce_unit", self._wanted, f"{state.unit}, in which this key has been used, or a new key"
            )
        if state.unit and state.last > UNITS[state.unit](self._clock.epoch_ns + DAY_NS):
            raise ConfigError(
                "nonce",
                state.last,
                f"near the present time in {state.unit}: the clock is wrong, or make a new key",
            )
