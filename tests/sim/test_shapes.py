"""Every endpoint answers in the shape of its recorded or documented example: keys, JSON types, forms of numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount

EXAMPLES = {
    example["name"]: example
    for example in json.loads((Path(__file__).parent.parent / "data" / "rest-examples.json").read_text())[
        "spot"
    ]
}
NOT_OURS = {"DepositMethods", "WithdrawStatus", "WalletTransfer", "AccountTransfer", "CreateSubaccount"}
"""Money in and out and subaccounts: a trading bot needs none of them."""

NO_ROWS = {
    "SystemStatus": "no maintenance is planned",
    "MaintenanceSchedule": "no maintenance is planned",
    "OpenPositions": "there is no margin",
    "CreditLines": "null for all but the largest customers",
}

OPTIONAL = {
    "collateral_value",
    "margin_rate",
    "long_position_limit",
    "short_position_limit",
    "time_in_force",
    "reason",
    "refid",
    "trigger",
}
"""Members that Kraken leaves out, or sets to null, of some rows."""

IDS = re.compile(r"[OLT][A-Z2-7]{5}-[A-Z2-7]{5}-[A-Z2-7]{6}")
FORMS = (
    ("integer", re.compile(r"-?\d+")),
    ("decimals", re.compile(r"-?\d+\.(\d+)")),
    (
        "id",
        re.compile(r"[OLTF][A-Z2-7]{5}-[A-Z2-7]{5}-[A-Z2-7]{6}|[OLTF]?[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}"),
    ),
    ("time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")),
)


def form(text: str) -> str:
    """Name the form of a text: what number of decimals, what kind of id, which precision of time."""
    for name, pattern in FORMS:
        if found := pattern.fullmatch(text):
            group = found.group(1) if found.groups() else None
            return f"{name}/{len(group.strip('.'))}" if group else name
    return "text"


def nearest(examples: list[Any], answer: Any, where: str, *, exact: bool) -> list[str]:
    """Compare with whichever example is most alike: rows of one list come in several shapes."""
    return min((differences(each, answer, where, exact=exact) for each in examples), key=len)


def differences(example: Any, answer: Any, where: str, *, exact: bool) -> list[str]:
    """Compare shapes: members of objects, rows of lists, types, and forms of texts where those are exact."""
    if isinstance(example, dict) and isinstance(answer, dict):
        return _of_objects(example, answer, where, exact=exact)
    if isinstance(example, list) and isinstance(answer, list):
        if example and isinstance(example[0], (dict, list)):
            return [p for row in answer for p in nearest(example, row, f"{where}[]", exact=exact)]
        pairs = enumerate(zip(example, answer, strict=False))
        return [p for at, pair in pairs for p in differences(*pair, f"{where}[{at}]", exact=exact)]
    differ = [f"{where}: {example!r} and {answer!r}"]
    if example is None or answer is None:
        name = where.rsplit(".", 1)[-1]
        return [] if name in OPTIONAL | {"cl_ord_id"} or example is answer else differ
    if isinstance(example, bool) != isinstance(answer, bool):
        return differ
    if isinstance(example, (int, float)) and isinstance(answer, (int, float)):
        return []
    if type(example) is not type(answer):
        return differ
    return differ if exact and isinstance(example, str) and form(example) != form(answer) != "text" else []


def _of_objects(example: dict[str, Any], answer: dict[str, Any], where: str, *, exact: bool) -> list[str]:
    """Compare members by name; rows by id, pair or asset with the nearest of the example's."""
    rows = [value for key, value in example.items() if _is_row(key)]
    problems = []
    if rows:
        for key, value in answer.items():
            if _is_row(key):
                problems += nearest(rows, value, f"{where}.{key}", exact=exact)
        example = {key: value for key, value in example.items() if not _is_row(key)}
        answer = {key: value for key, value in answer.items() if not _is_row(key)}
    problems += [f"{where}: lacks {key}" for key in sorted(example.keys() - answer.keys() - OPTIONAL)]
    problems += [f"{where}: has {key}" for key in sorted(answer.keys() - example.keys() - OPTIONAL)]
    for key in sorted(example.keys() & answer.keys()):
        problems += differences(example[key], answer[key], f"{where}.{key}", exact=exact)
    return problems


def _is_row(key: str) -> bool:
    return IDS.fullmatch(key) is not None or key.isupper()


@pytest.fixture(scope="module")
def box(make_box: Any) -> Any:
    """A box in which there is something of everything."""
    accounts = [NewAccount(balances={"USD": 100_000, "BTC": 10})]
    box = make_box(["BTC/USD", "SHIB/USD"], accounts=accounts, limit_calls=False)
    best = box.core.market("BTC/USD").quote()
    limit = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.015", "oflags": "fciq"}
    box.step(200)
    rested = {**limit, "price": str(best.bid - 100)}
    box.result("AddOrder", **rested, cl_ord_id="6d1b345e-2821-40e2-ad83-4ecb18a06876")
    box.result("AddOrder", **limit, price=str(best.ask + 100))
    gone = box.result("AddOrder", **rested)["txid"][0]
    box.result("CancelOrder", txid=gone)
    return box


def ask(box: Any, name: str) -> Any:
    """Ask as the example does, with this box's ids and prices."""
    example = EXAMPLES[name]
    if not example["auth"]:
        query = "&".join(f"{key}={value}" for key, value in example.get("query", {}).items())
        if name in ("Trades", "OHLC", "PostTrade"):
            query = re.sub(r"&?(since|from_ts)=[^&]*", "", query) + "&symbol=BTC/USD"
        return box.rest(name, query.replace(",USDT,USD.HOLD", ""))
    if not box.account.live_orders():
        place(box)
    body = {key: value for key, value in example["body"].items() if key != "nonce"}
    body |= CHANGES[name](box) if name in CHANGES else {}
    return box.answer(box.post(name, body, as_json="json" in example["content_type"]))


def place(box: Any) -> str:
    """Place an order that rests, and give its id."""
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "50.0"}
    return str(box.result("AddOrder", **order)["txid"][0])


def live(box: Any) -> Any:
    return box.account.live_orders()[0]


def report(box: Any) -> str:
    """Have an export made, and give its id."""
    made = box.result("AddExport", report="trades", description="year 2025")["id"]
    box.clock.sleep(10)
    return str(made)


def amended(box: Any) -> str:
    order = live(box)
    box.result("AmendOrder", txid=order.order_id, limit_price=str(order.limit_price - 1))
    return str(order.order_id)


def gone(box: Any) -> str:
    return next(str(order.order_id) for order in box.account.orders.values() if order.status == "canceled")


EVER = {"start": "", "end": ""}
BATCH = [
    {"ordertype": "limit", "type": "buy", "price": "6000.0", "volume": volume} for volume in ("0.01", "90")
]
CHANGES: dict[str, Any] = {
    "AddOrder": lambda _: {"price": "60.0", "cl_ord_id": "another", "deadline": ""},
    "AddOrderBatch": lambda _: {"orders": BATCH},
    "AmendOrder": lambda box: {"limit_price": str(live(box).limit_price + 1)},
    "EditOrder": lambda box: {"txid": place(box), "price": "51.0"},
    "CancelOrder": lambda box: {"txid": live(box).order_id},
    "CancelOrderBatch": lambda box: {"orders": [order.order_id for order in box.account.live_orders()][:2]},
    "OpenOrders": lambda box: {"cl_ord_id": live(box).cl_ord_id},
    "ClosedOrders": lambda _: {**EVER, "trades": "true"},
    "QueryOrders": lambda box: {"txid": f"{live(box).order_id},{gone(box)}"},
    "OrderAmends": lambda box: {"order_id": amended(box)},
    "TradesHistory": lambda _: EVER,
    "QueryTrades": lambda box: {"txid": next(iter(box.account.executions))},
    "Ledgers": lambda _: {**EVER, "asset": "ZUSD"},
    "QueryLedgers": lambda box: {"id": list(box.account.ledger)[-1]},
    "ExportStatus": lambda box: {"report": report(box) and "trades"},
    "RemoveExport": lambda box: {"id": report(box)},
}
"""What the example's request has to say instead, so that it fits this box."""


LAST = ("AddOrder", "AddOrderBatch", "CancelOrder", "CancelOrderBatch", "CancelAll", "CancelAllOrdersAfter")
OURS = [name for name in EXAMPLES if name not in NOT_OURS | {"RetrieveExport"}]


@pytest.mark.parametrize(
    "name", sorted(set(OURS) - {"RetrieveExport"}, key=lambda name: (name in LAST, OURS.index(name)))
)
def test_answers_have_the_shape_of_the_example(box: Any, name: str) -> None:
    answer = ask(box, name)
    assert answer["error"] == [], answer
    if name in NO_ROWS:
        assert answer["result"] in ({}, None, {"events": []}) or name == "SystemStatus"
        return
    example = EXAMPLES[name]["response"]["result"]
    result = answer["result"]
    if name == "OrderAmends":
        example["amends"], result["amends"] = example["amends"][1:], result["amends"][1:]
    if name in ("OpenOrders", "QueryOrders"):
        unfilled = EXAMPLES["ClosedOrders"]["response"]["result"]["closed"]["ODDDDD-EEEEE-FFFFFF"]
        (example["open"] if name == "OpenOrders" else example)["OUUUUU-NNNNN-FFFFFF"] = {
            **next(iter((example["open"] if name == "OpenOrders" else example).values())),
            "price": unfilled["price"],
        }
    exact = name not in (
        "Ticker",
        "AssetPairs",
        "Assets",
        "Balance",
        "BalanceEx",
    )  # many pairs and assets in one
    assert differences(example, result, name, exact=exact) == []


def test_the_comparer_finds_what_differs() -> None:
    example = {"OAAAAA-BBBBB-CCCCCC": {"a": "1.0", "b": [["x", 1]], "c": None}}
    good = {"OBBBBB-BBBBB-CCCCCC": {"a": "2.5", "b": [["y", 2], ["z", 3.5]], "c": None}}
    assert differences(example, good, "", exact=True) == []
    for bad in ({"a": 1.0}, {"a": "1.00"}, {"b": [[1, 1]]}, {"b": [["x", "1"]]}, {"c": 1}, {"d": 1}):
        row = {**good["OBBBBB-BBBBB-CCCCCC"], **bad}
        assert differences(example, {"OBBBBB-BBBBB-CCCCCC": row}, "", exact=True), bad
    assert differences({"a": 1, "b": 2}, {"a": 1}, "", exact=True) == [": lacks b"]


def test_an_export_is_a_zip_of_the_account(box: Any) -> None:
    box.clock.sleep(1)  # a report ends at its own time, and trades of one moment are told apart by ns after it
    for kind, rows in (("trades", box.account.executions), ("ledgers", box.account.ledger)):
        report = box.result("AddExport", report=kind, description="all", format="CSV")["id"]
        assert box.result("ExportStatus", report=kind)[-1]["status"] == "Queued"
        box.clock.sleep(2)
        assert box.result("ExportStatus", report=kind)[-1]["status"] == "Processing"
        assert box.refusal("RetrieveExport", id=report) == "EExport:Not ready"
        box.clock.sleep(3)
        response = box.post("RetrieveExport", {"id": report})
        assert response.headers["Content-Type"] == "application/zip"
        archive = zipfile.ZipFile(io.BytesIO(response.body))
        assert archive.namelist() == [f"{kind}.csv"]
        found = list(csv.DictReader(io.StringIO(archive.read(f"{kind}.csv").decode())))
        assert [row["txid"] for row in found] == list(rows)
        assert box.refusal("RemoveExport", id=report, type="cancel") == "EGeneral:Invalid arguments:type"
        assert box.result("RemoveExport", id=report, type="delete") == {"delete": True}
        assert box.refusal("RetrieveExport", id=report) == "EExport:Deleted"
    assert box.refusal("AddExport", report="all", description="x") == "EGeneral:Invalid arguments:report"
