"""The dead man's switch: the exchange cancels everything unless it hears from us in time.

Theory of operation. The switch is renewed by the same loop that trades, so a loop that hangs renews nothing, and that
is the point. Its time is counted from our sending, which is before the exchange counts, so we take it for lapsed rather
too early. Once lapsed it stays so until somebody arms it again: orders may be gone by then, and who trades has to know.

Before announced maintenance it is disarmed, for it would fire when the engine returns.

Source: websocket-v2.md section 15; faults.md O23, O24.
"""

from __future__ import annotations

from enum import Enum

from ..policy import SECOND_NS

WARN_AFTER_S = 30.0
"""Unrenewed for so long is worth a warning: half of the recommended minute."""

AGAIN_S = 2.0
"""After a renewal that failed."""

DISARM_PHASES = frozenset({"imminent_5m", "final_warning_30s"})


class SwitchState(Enum):
    """Of the dead man's switch."""

    OFF = "off"
    ARMING = "arming"
    ARMED = "armed"
    LAPSED = "lapsed"


class DeadMansSwitch:
    """Says when to renew, and how the switch stands.

    >>> switch = DeadMansSwitch(timeout_s=60, renew_s=15)
    >>> switch.arm(0); switch.is_due(0)
    True
    >>> switch.sent(0); switch.renewed(0, 5); switch.state.value, switch.due_ns() == 15 * SECOND_NS
    ('armed', True)
    """

    def __init__(self, *, timeout_s: int, renew_s: float) -> None:
        self.timeout_s = timeout_s
        self.state = SwitchState.OFF
        self.renewals = 0
        self.warnings = 0
        self._renew_ns = round(renew_s * SECOND_NS)
        self._next_ns = 0
        self._renewed_ns = 0
        self._has_warned = False

    @property
    def expires_ns(self) -> int | None:
        """Monotonic time from which on it may fire; None while it is off."""
        if self.state is not SwitchState.ARMED:
            return None
        return self._renewed_ns + self.timeout_s * SECOND_NS

    def arm(self, now_ns: int) -> None:
        """Arm it, or again after it lapsed."""
        if self.state is not SwitchState.ARMED:
            self.state = SwitchState.ARMING
            self._renewed_ns = now_ns
            self._has_warned = False
        self._next_ns = now_ns

    def disarm(self) -> None:
        """It was disarmed at the exchange, or is not wanted any more."""
        self.state = SwitchState.OFF

    def due_ns(self) -> int | None:
        """When it is to be renewed or looked at next."""
        if self.state in (SwitchState.OFF, SwitchState.LAPSED):
            return None
        expires_ns = self.expires_ns
        return self._next_ns if expires_ns is None else min(self._next_ns, expires_ns)

    def is_due(self, now_ns: int) -> bool:
        """Whether to renew it now. Looks first whether it has lapsed."""
        expires_ns = self.expires_ns
        if expires_ns is not None and now_ns >= expires_ns:
            self.state = SwitchState.LAPSED
        return self.state in (SwitchState.ARMING, SwitchState.ARMED) and now_ns >= self._next_ns

    def sent(self, now_ns: int) -> None:
        """A renewal is under way; the next is due as if it failed."""
        self._next_ns = now_ns + round(AGAIN_S * SECOND_NS)

    def renewed(self, sent_ns: int, now_ns: int) -> None:
        """The exchange confirmed a renewal that was sent at `sent_ns`."""
        if self.state in (SwitchState.OFF, SwitchState.LAPSED):
            return
        self.state = SwitchState.ARMED
        self.renewals += 1
        self._renewed_ns = max(self._renewed_ns, sent_ns)
        self._next_ns = max(now_ns, sent_ns + self._renew_ns)
        self._has_warned = False

    def wants_warning(self, now_ns: int) -> bool:
        """Whether it is unrenewed for long; says so once."""
        is_late = now_ns - self._renewed_ns >= WARN_AFTER_S * SECOND_NS
        if self.state in (SwitchState.ARMING, SwitchState.ARMED) and is_late and not self._has_warned:
            self._has_warned = True
            self.warnings += 1
            return True
        return False
