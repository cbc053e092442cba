"""A certificate authority of the exchange's own, and the bad certificates that a client must refuse."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme

from .faults import Faults

_NAMES = ("localhost", "127.0.0.1", "::1")


class Authority:
    """Issues the certificates of one exchange."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}

    def write(self, folder: Path) -> Path:
        """Write the authority's certificate, the one that clients are to trust.

        Returns:
            The file.
        """
        file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(file)
        return file

    def context(self, faults: Faults) -> ssl.SSLContext:
        """Make the server's context; each handshake asks whether a `cert` fault wants a bad certificate."""
        good = self._server_context(self._ca.issue_cert(*_NAMES))

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            fault = faults.fire("cert")
            connection.context = good if fault is None else self._bad_context(fault["problem"])

        # OpenSSL calls back for every handshake, also when the client sends no name.
        good.sni_callback = choose
        return good

    def _bad_context(self, problem: str) -> ssl.SSLContext:
        if problem not in self._contexts:
            if problem == "expired":
                past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
                certificate = self._ca.issue_cert(*_NAMES, not_after=past)
            elif problem == "wrong_name":
                certificate = self._ca.issue_cert("wrong.example")
            elif problem == "self_signed":
                certificate = trustme.CA().issue_cert(*_NAMES)
            else:
                raise ValueError(f"problem={problem!r}: must be expired, wrong_name or self_signed")
            self._contexts[problem] = self._server_context(certificate)
        return self._contexts[problem]

    @staticmethod
    def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate.configure_cert(context)
        return context
