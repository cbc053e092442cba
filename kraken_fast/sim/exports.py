"""Export reports: what an account did, as a zip of CSV or TSV.

A report is `Queued`, then `Processing`, then `Processed`, some virtual seconds each; before the end
RetrieveExport refuses it. What it holds is fixed when it was asked for.

Source: https://docs.kraken.com/api/docs/rest-api/add-export, read 2026-11. The columns are those of a real
export of 2024.
"""

from __future__ import annotations

import csv
import io
import random
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .account import Account
from .gate import Call
from .ids import ALPHABET
from .params import invalid, plain_decimal
from .refusals import RestError
from .rows import ledger_row, trade_row
from .texts import NS_PER_S, rfc3339

if TYPE_CHECKING:
    from .private import Handler, PrivateApi

QUEUED_NS = 2 * NS_PER_S
PROCESSED_NS = 5 * NS_PER_S
KEPT_NS = 14 * 86_400 * NS_PER_S
"""When a report begins to be made, when it is made, and until when it can be fetched."""

TRADE_COLUMNS = (
    "txid",
    "ordertxid",
    "pair",
    "time",
    "type",
    "ordertype",
    "price",
    "cost",
    "fee",
    "vol",
    "margin",
    "misc",
    "ledgers",
)
LEDGER_COLUMNS = (
    "txid",
    "refid",
    "time",
    "type",
    "subtype",
    "aclass",
    "asset",
    "amount",
    "fee",
    "balance",
)


@dataclass(frozen=True, slots=True)
class Report:
    """One report of one account."""

    report_id: str
    account: Account
    kind: str
    format: str
    description: str
    fields: str
    asset: str
    created_ns: int
    start_ns: int
    end_ns: int
    data: bytes

    def status(self, now_ns: int) -> str:
        """Give how far it is."""
        age_ns = now_ns - self.created_ns
        return "Processed" if age_ns >= PROCESSED_NS else "Processing" if age_ns >= QUEUED_NS else "Queued"


class Exports:
    """The export endpoints.

    Args:
        api: the private endpoints that these belong to.
        rng: draws the ids of reports.
    """

    def __init__(self, api: PrivateApi, rng: random.Random) -> None:
        self._api = api
        self._rng = rng
        self._reports: dict[str, Report] = {}
        self.endpoints: dict[str, Handler] = {
            "AddExport": self._add,
            "ExportStatus": self._status,
            "RetrieveExport": self._retrieve,
            "RemoveExport": self._remove,
        }

    def _add(self, call: Call) -> Any:
        params = call.params
        kind, form = params.text("report"), params.text("format", "CSV")
        if kind not in ("trades", "ledgers"):
            raise invalid("report")
        if form not in ("CSV", "TSV"):
            raise invalid("format")
        start_ns = self._time(call, "starttm", 0)
        end_ns = self._time(call, "endtm", call.now_ns)
        report = Report(
            "".join(self._rng.choice(ALPHABET) for _ in range(4)),
            call.account,
            kind,
            form,
            params.required("description"),
            params.text("fields") or "all",
            params.text("asset") or "all",
            call.now_ns,
            start_ns,
            end_ns,
            self._zip(call.account, kind, form, start_ns, end_ns),
        )
        self._reports[report.report_id] = report
        return {"id": report.report_id}

    def _status(self, call: Call) -> Any:
        kind = call.params.required("report")
        return [
            _status_row(report, call.now_ns)
            for report in self._reports.values()
            if report.account is call.account and report.kind == kind
        ]

    def _retrieve(self, call: Call) -> Any:
        report = self._report(call)
        if report.status(call.now_ns) != "Processed":
            raise RestError("EExport:Not ready")
        return report.data

    def _remove(self, call: Call) -> Any:
        report = self._report(call)
        kind = call.params.text("type")
        if kind not in ("delete", "cancel"):
            raise invalid("type")
        if (kind == "cancel") == (report.status(call.now_ns) == "Processed"):
            raise invalid("type")  # what is made can be deleted, what is being made can be cancelled
        del self._reports[report.report_id]
        return {kind: True}

    def _report(self, call: Call) -> Report:
        report = self._reports.get(call.params.required("id"))
        if report is None or report.account is not call.account:
            raise RestError("EExport:Deleted")
        return report

    @staticmethod
    def _time(call: Call, name: str, default_ns: int) -> int:
        text = call.params.text(name)
        return int(plain_decimal(text, name) * NS_PER_S) if text else default_ns

    def _zip(self, account: Account, kind: str, form: str, start_ns: int, end_ns: int) -> bytes:
        rows = self._trades(account) if kind == "trades" else self._ledgers(account)
        columns = TRADE_COLUMNS if kind == "trades" else LEDGER_COLUMNS
        text = io.StringIO()
        writer = csv.DictWriter(
            text,
            columns,
            extrasaction="ignore",
            delimiter="," if form == "CSV" else "\t",
            quoting=csv.QUOTE_ALL,
            lineterminator="\n",
        )
        writer.writeheader()
        for time_ns, row in rows:
            if start_ns <= time_ns <= end_ns:
                writer.writerow({**row, "time": rfc3339(time_ns, 4).replace("T", " ").removesuffix("Z")})
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            # A fixed date: the same run gives the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{kind}.{form.lower()}"), text.getvalue())
        return packed.getvalue()

    def _trades(self, account: Account) -> Iterable[tuple[int, dict[str, Any]]]:
        for each in account.executions.values():
            row = trade_row(each, account.orders[each.order_id], self._api.pair(each.symbol), ledgers=True)
            yield each.time_ns, {**row, "txid": each.exec_id, "ledgers": ",".join(each.ledger_ids)}

    def _ledgers(self, account: Account) -> Iterable[tuple[int, dict[str, Any]]]:
        for entry in account.ledger.values():
            row = ledger_row(entry, self._api.precision(entry.asset))
            yield entry.time_ns, {**row, "txid": entry.ledger_id}


def _status_row(report: Report, now_ns: int) -> dict[str, str]:
    def seconds(time_ns: int) -> str:
        return str(time_ns // NS_PER_S)

    def reached(time_ns: int) -> str:
        return seconds(time_ns if time_ns <= now_ns else 0)

    return {
        "id": report.report_id,
        "descr": report.description,
        "format": report.format,
        "report": report.kind,
        "subtype": "all",
        "status": report.status(now_ns),
        "flags": "0",
        "fields": report.fields,
        "createdtm": seconds(report.created_ns),
        "expiretm": seconds(report.created_ns + KEPT_NS),
        "starttm": reached(report.created_ns + QUEUED_NS),
        "completedtm": reached(report.created_ns + PROCESSED_NS),
        "datastarttm": seconds(report.start_ns),
        "dataendtm": seconds(report.end_ns),
        "aclass": "forex",
        "asset": report.asset,
    }
