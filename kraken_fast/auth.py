"""Credentials: where they come from, how they sign, and how they stay out of everything that is printed.

A `Secret` shows as `***` wherever Python would show it. What is derived from one (signature, body with nonce and
one-time password) lives only inside an `HttpRequest`, which shows neither headers nor body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from .errors import ConfigError

ENV_KEY = "KRAKEN_API_KEY"
ENV_SECRET = "KRAKEN_API_SECRET"  # noqa: S105 - the name of a variable
BOX_KEY_PREFIX = b"SIMKEY"
"""Every key of `kraken_fast.sim` begins with it."""

KEYRING_SERVICE = "kraken_fast"

KEY_FILE_BYTES_MAX = 64 * 1024


class Secret:
    """Bytes that show as `***`, cannot be pickled or copied, and compare in constant time.

    >>> Secret("hush"), f"{Secret('hush')}", Secret("hush") == Secret("hush")
    (Secret(***), '***', True)
    """

    __slots__ = ("_buffer",)

    def __init__(self, value: str | bytes) -> None:
        self._buffer = bytearray(value.encode() if isinstance(value, str) else value)

    def reveal(self) -> bytes:
        """Give the bytes. Whoever calls this keeps them out of names that outlive the call."""
        return bytes(self._buffer)

    def wipe(self) -> None:
        """Overwrite the bytes, as far as Python lets us: copies made by `reveal` are beyond reach."""
        self._buffer[:] = bytes(len(self._buffer))
        self._buffer.clear()

    def __len__(self) -> int:
        return len(self._buffer)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._buffer, other._buffer)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied")


class Credentials:
    """One API key of an account.

    Args:
        api_key: the public half.
        api_secret: the private half, base64 as Kraken gives it.
        otp: makes a one-time password for each call; only for keys that have two-factor authentication themselves.

    Raises:
        ConfigError: a part is empty, has white space, or is not base64. No value is shown.

    >>> Credentials("key", "c2VjcmV0")
    Credentials(key=***, secret=***)
    """

    __slots__ = ("_api_key", "_otp", "_secret", "key_id")

    def __init__(
        self, api_key: str | Secret, api_secret: str | Secret, *, otp: Callable[[], str] | None = None
    ) -> None:
        self._api_key = _as_secret(api_key)
        given = _as_secret(api_secret)
        del api_key, api_secret  # a traceback that shows locals must not find them
        self._otp = otp
        _check_text("api_key", self._api_key)
        _check_text("api_secret", given)
        self._secret = _decoded(given)
        self.key_id = hashlib.sha256(self._api_key.reveal()).hexdigest()[:16]
        """Names the key where it must be told from others, as in file names; it does not lead back to the key."""

    @property
    def api_key(self) -> Secret:
        """The public half; secret enough to keep out of logs."""
        return self._api_key

    @property
    def is_of_a_box(self) -> bool:
        """Whether it is a key of an exchange in a box, which is worth nothing elsewhere."""
        return self._api_key.reveal().startswith(BOX_KEY_PREFIX)

    @property
    def otp(self) -> str | None:
        """A one-time password, if the key needs one."""
        return None if self._otp is None else self._otp()

    def sign(self, path: str, nonce: str, body: bytes) -> str:
        """Sign a request.

        Args:
            path: from `/0/` on; for the `/funding` calls with its query string.
            nonce: the digits as they stand in the body.
            body: the very bytes that will be sent.

        Source: https://docs.kraken.com/exchange/guides/rest/authentication; signing-vectors.json.
        """
        return spot_signature(self._secret, path, nonce, body)

    def wipe(self) -> None:
        """Forget both halves."""
        self._api_key.wipe()
        self._secret.wipe()

    def __repr__(self) -> str:
        return "Credentials(key=***, secret=***)"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("Credentials are neither pickled nor copied")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Credentials:
        """Read `KRAKEN_API_KEY` and `KRAKEN_API_SECRET`.

        Raises:
            ConfigError: one of them is missing.
        """
        env = os.environ if env is None else env
        key, secret = Secret(env.get(ENV_KEY, "")), Secret(env.get(ENV_SECRET, ""))
        del env  # a traceback that shows locals must not find it
        for name, other, value in ((ENV_KEY, ENV_SECRET, key), (ENV_SECRET, ENV_KEY, secret)):
            if not len(value):
                raise ConfigError(name, None, f"set, together with {other}")
        return cls(key, secret)

    @classmethod
    def from_file(cls, path: str | Path, *, allow_readable_by_others: bool = False) -> Credentials:
        """Read a TOML file with `api_key` and `api_secret`.

        Raises:
            ConfigError: it is not a regular file of ours, others may read it, or it lacks one of the two.
        """
        facts = _key_file(Path(path), allow_readable_by_others=allow_readable_by_others)
        halves = [
            Secret(half) for name in ("api_key", "api_secret") if isinstance(half := facts.get(name), str)
        ]
        facts, half = {}, None  # a traceback that shows locals must not find them
        if len(halves) != 2:
            raise ConfigError("key file", str(path), "one with the texts api_key and api_secret")
        return cls(*halves)

    @classmethod
    def from_keyring(cls, name: str = "default") -> Credentials:
        """Read from the system's keyring, service `kraken_fast`, users `<name>:key` and `<name>:secret`.

        Raises:
            ConfigError: the extra `keyring` is not installed, the keyring cannot be read, or it holds no such key.
        """
        try:
            import keyring  # noqa: PLC0415 - an extra
            from keyring.errors import KeyringError  # noqa: PLC0415
        except ImportError as missing:
            raise ConfigError("keyring", name, "installed: pip install 'kraken_fast[keyring]'") from missing
        try:
            halves = [
                Secret(keyring.get_password(KEYRING_SERVICE, f"{name}:{half}") or "")
                for half in ("key", "secret")
            ]
        except KeyringError as error:
            reason = "not unlocked" if "Locked" in type(error).__name__ else "not there: no backend is installed"
            raise ConfigError("keyring", name, f"in a keyring that can be read; this one is {reason}") from None
        if not all(halves):
            raise ConfigError("keyring", name, f"stored under the service {KEYRING_SERVICE}")
        return cls(*halves)

    @classmethod
    def find(
        cls,
        *,
        key_file: str | Path | None = None,
        keyring_name: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Credentials | None:
        """Look where they may be: the key file, the environment, the keyring. None when they are nowhere.

        Raises:
            ConfigError: a source is there, and wrong or half set.
        """
        env = os.environ if env is None else env
        if key_file is not None:
            return cls.from_file(key_file)
        if env.get(ENV_KEY) or env.get(ENV_SECRET):
            return cls.from_env(env)
        return None if keyring_name is None else cls.from_keyring(keyring_name)


def spot_signature(secret: Secret, path: str, nonce: str, body: bytes) -> str:
    """Sign for `/0/private` and `/funding`: base64(HMAC-SHA512(secret, path + SHA256(nonce + body)))."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(secret.reveal(), path.encode() + digest, "sha512")).decode()


def futures_signature(secret: Secret, endpoint_path: str, nonce: str, post_data: str) -> str:
    """Sign for the derivatives API: base64(HMAC-SHA512(secret, SHA256(post_data + nonce + endpoint_path)))."""
    return futures_challenge(secret, post_data + nonce + endpoint_path)


def futures_challenge(secret: Secret, challenge: str) -> str:
    """Sign the challenge of the derivatives WebSocket: base64(HMAC-SHA512(secret, SHA256(challenge)))."""
    digest = hashlib.sha256(challenge.encode()).digest()
    return base64.b64encode(hmac.digest(secret.reveal(), digest, "sha512")).decode()


def _as_secret(value: str | Secret) -> Secret:
    if not isinstance(value, (str, Secret)):
        raise ConfigError("credentials", type(value).__name__, "texts")
    return value if isinstance(value, Secret) else Secret(value)


def _check_text(field: str, value: Secret) -> None:
    if not len(value) or not all(33 <= byte <= 126 for byte in value.reveal()):
        raise ConfigError(field, "***", "a text without white space, as Kraken shows it")


def _decoded(value: Secret) -> Secret:
    try:
        decoded = base64.b64decode(value.reveal(), validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded:
        raise ConfigError("api_secret", "***", "base64, as Kraken shows it; is it swapped with the key?")
    return Secret(decoded)


def _key_file(path: Path, *, allow_readable_by_others: bool) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - for a key file only; 2 ms of every import

    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError("key file", str(path), f"a readable regular file: {error.strerror}") from None
    try:
        facts = os.fstat(handle)  # of the very file that is read below
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.getuid(), 0):
            raise ConfigError("key file", str(path), "a regular file of your own")
        if facts.st_mode & 0o077 and not allow_readable_by_others:
            raise ConfigError("key file", str(path), f"readable by its owner alone: chmod 600 {path}")
        return tomllib.loads(os.read(handle, KEY_FILE_BYTES_MAX).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        pass
    finally:
        os.close(handle)
    # Outside the except clause: the parser's error shows the line that it did not understand.
    raise ConfigError("key file", str(path), "TOML with api_key and api_secret")
