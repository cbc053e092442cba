"""The profiling report as one HTML page: figures first, pictures inside it, nothing loaded from anywhere."""

from __future__ import annotations

from html import escape
from typing import Any

from .charts import COLOURS, INK, WIDTH, bars, curve, percentiles

FLAME_ROW = 20
FLAME_LEAST = 0.002
"""Share of samples below which a frame is not drawn."""

STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; max-width: 940px; margin: 32px auto; padding: 0 20px; }}
h1 {{ font-size: 24px; margin: 0; }} h2 {{ font-size: 17px; margin: 36px 0 8px; }}
p {{ margin: 4px 0 10px; color: #52606d; }}
.cards {{ display: flex; gap: 12px; flex-wrap: wrap; margin: 20px 0; }}
.card {{ border: 1px solid #e4e7eb; border-radius: 8px; padding: 10px 16px; min-width: 108px; }}
.card b {{ display: block; font-size: 22px; }} .card span {{ color: #7b8794; font-size: 13px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; }}
th {{ text-align: left; color: #7b8794; font-weight: 500; }} td, th {{ padding: 3px 10px 3px 0; }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; }} tr:nth-child(even) td {{ background: #f7f9fa; }}
code {{ font: 13px ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }} .bar {{ background: {COLOURS[0]}; height: 10px; }}
"""


def html(report: dict[str, Any]) -> str:
    """Write the page."""
    machine = report["machine"]
    title = f"{report['scenario']}: {report['corpus']}"
    told = (
        f"{report['date']}, commit {report['commit']}, {machine['cpu']}, Python {machine['python']}, "
        f"{machine['system']}; {report['messages']:,} messages of {report['mean_bytes']:.0f} bytes on average"
    )
    parts = [f"<h1>{escape(title)}</h1><p>{escape(told)}</p>", _cards(report), _stages(report)]
    curves = report.get("latency", []) + report.get("socket_latency", [])
    if curves:
        series = [(one["name"], [(q, ns) for q, ns in one["points"]]) for one in curves]
        parts += [_head("Latency", "each step to the right is one nine more"), percentiles(series), _quantiles(curves)]
    if "flood" in report:
        rows = [(f"loopback, {name}", ns) for name, ns in report["flood"].items()]
        parts += [_head("Flood over loopback", "client CPU a message, system time included"), bars(rows, "ns")]
    if "instructions" in report:
        parts.append(_instructions(report["instructions"]))
    if report.get("flame"):
        parts += [_head("Flame graph", "py-spy, native frames; width is time"), _flame(report["flame"])]
    if "memory" in report:
        text = "growth of the process while the same books are fed on and on"
        parts += [_head("Memory", text), curve([tuple(point) for point in report["memory"]], "messages", "MB")]
    if "annotated" in report:
        parts.append(_annotated(report["annotated"]))
    for name, reason in report["missing"].items():
        parts.append(f"<p>Not measured: {escape(name)} ({escape(reason)}).</p>")
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"


def _head(title: str, text: str) -> str:
    return f"<h2>{escape(title)}</h2><p>{escape(text)}</p>"


def _cards(report: dict[str, Any]) -> str:
    stages = {name: facts["median_ns"] for name, facts in report["stages"].items()}
    whole = stages["+ apply, verify"]
    points = {float(q): ns for q, ns in report["latency"][0]["points"]}
    cards = [
        (f"{whole:,.0f} ns", "bytes to verified book"),
        (f"{stages['orjson.loads, for comparison'] / whole:.1f}x", "faster than orjson.loads alone"),
        (f"{points[99.0]:,.0f} ns", "99th percentile, with callback"),
    ]
    if "instructions" in report:
        cards.append((f"{report['instructions']['total']:,.0f}", "instructions a message"))
    if "memory" in report:
        cards.append((f"{report['memory'][-1][1]:.2f} MB", "grown by"))
    boxes = "".join(f'<div class="card"><b>{figure}</b><span>{what}</span></div>' for figure, what in cards)
    return f'<div class="cards">{boxes}</div>'


def _stages(report: dict[str, Any]) -> str:
    text = "median CPU time a message, all in one process and in turns; a row with + has one stage more than the last"
    return _head("Stages", text) + bars([(name, facts["median_ns"]) for name, facts in report["stages"].items()], "ns")


def _quantiles(curves: list[dict[str, Any]]) -> str:
    wanted = (50, 90, 99, 99.9, 99.99)
    rows = []
    for one in curves:
        points = {float(q): ns for q, ns in one["points"]}
        cells = "".join(f'<td class="n">{points[float(q)]:,.0f}</td>' for q in wanted)
        rows.append(f"<tr><td>{escape(one['name'])}</td>{cells}<td class=n>{one['count']:,}</td></tr>")
    heads = "".join(f'<th class="n">p{q:g}, ns</th>' for q in wanted)
    return f"<table><tr><th></th>{heads}<th class=n>samples</th></tr>{''.join(rows)}</table>"


def _instructions(instructions: dict[str, Any]) -> str:
    total = instructions["total"]
    rows = "".join(
        f'<tr><td><code>{escape(name)}</code></td><td class="n">{count:,.1f}</td>'
        f'<td class="n">{count / total:.1%}</td>'
        f'<td><div class="bar" style="width:{220 * count / total:.0f}px"></div></td></tr>'
        for name, count in instructions["functions"]
        if count >= 0.5
    )
    head = _head("Instructions", f"callgrind: {total:,.0f} a message, by the function that executes them")
    titles = "<tr><th>function</th><th class=n>a message</th><th class=n>share</th><th></th></tr>"
    return f"{head}<table>{titles}{rows}</table>"


def _flame(stacks: list[tuple[str, int]]) -> str:
    total = sum(samples for _, samples in stacks) or 1
    tree: dict[str, Any] = {}
    for stack, samples in stacks:
        level = tree
        for frame in stack.split(";"):
            node = level.setdefault(frame, {"samples": 0, "below": {}})
            node["samples"] += samples
            level = node["below"]
    boxes: list[str] = []
    depth = _boxes(tree, 0.0, 0, total, boxes)
    height = FLAME_ROW * depth + 4
    style = 'font-family="ui-monospace, monospace" font-size="12"'
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" {style}>{"".join(boxes)}</svg>'


def _boxes(level: dict[str, Any], left: float, row: int, total: int, boxes: list[str]) -> int:
    """Draw one row and those below it; give how many rows there were."""
    deepest = row
    for name, node in sorted(level.items(), key=lambda item: -item[1]["samples"]):
        width = WIDTH * node["samples"] / total
        if node["samples"] / total < FLAME_LEAST:
            continue
        y = FLAME_ROW * row + 2
        colour = COLOURS[sum(name.encode()) % len(COLOURS)]
        shown = name if len(name) * 7.3 < width - 8 else name[: max(0, int((width - 8) / 7.3))]
        share = f"{name}: {node['samples'] / total:.1%}"
        boxes.append(
            f'<g><title>{escape(share)}</title><rect x="{left:.1f}" y="{y}" width="{max(width - 1, 0.5):.1f}" '
            f'height="{FLAME_ROW - 2}" rx="2" fill="{colour}" opacity="0.28"/>'
            f'<text x="{left + 4:.1f}" y="{y + 13}" fill="{INK}">{escape(shown)}</text></g>'
        )
        deepest = max(deepest, _boxes(node["below"], left, row + 1, total, boxes))
        left += width
    return deepest if level else row


def _annotated(modules: dict[str, list[tuple[int, int, str]]]) -> str:
    rows = "".join(
        f'<tr><td>{escape(module)}.pyx:{number}</td><td class="n">{score}</td>'
        f"<td><code>{escape(text.strip())}</code></td></tr>"
        for module, lines in modules.items()
        for number, score, text in lines
    )
    text = "lines of hot functions that Cython's report does not show white; the score counts calls into Python's API"
    if not rows:
        return _head("Annotated lines", "every line of the hot functions is white in Cython's report")
    titles = "<tr><th>line</th><th class=n>score</th><th></th></tr>"
    return f"{_head('Annotated lines', text)}<table>{titles}{rows}</table>"
