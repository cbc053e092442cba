"""Fixtures that several modules share: a certificate authority of our own, and the two kinds of line."""

from __future__ import annotations

from typing import Any

import pytest
import trustme


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its certificate, as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(params=["plain", "tls"])
def wire(request: pytest.FixtureRequest, authority: trustme.CA, ca_file: str) -> dict[str, Any]:
    """Arguments of `serve` and `line_to` for a plain and for a secure line."""
    if request.param == "plain":
        return {"serve": {}, "line": {}}
    return {"serve": {"tls": authority.issue_cert("localhost")}, "line": {"ca_file": ca_file}}
