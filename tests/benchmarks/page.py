"""Writes the figures of a run into docs/benchmarks.md, between their marks; people write the rest of the page."""

from pathlib import Path
from typing import Any, Final

from services.core.errors import BellwetherError
from tests.benchmarks import growth, pipeline, scale
from tests.benchmarks.contestants import TITLES
from tests.benchmarks.serving import CONNECTIONS, PEERS, table

BEGIN: Final = "<!-- figures of {}: written by `make {}` -->"
END: Final = "<!-- end of figures -->"


def write_page(path: Path, name: str, figures: str, *, target: str = "bench") -> None:
    """Replace what stands between the marks of that name, which say what `target` of make writes.

    Raises `BellwetherError` when the page lacks them.
    """
    mark = BEGIN.format(name, target)
    before, begin, rest = path.read_text("utf-8").partition(mark)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BellwetherError(f"{path} has no lines {mark} and {END}; add them where the figures shall stand")
    path.write_text(f"{before}{mark}\n\n{figures}\n\n{END}{after}", "utf-8")


def pipeline_figures(result: dict[str, Any]) -> str:
    above = (
        f"{taken_on(result['machine'])} {result['events']:,} events, half predictions of 19 features (1.9 kB) and half "
        "outcomes. CPU is that of the process itself; broker and database share its cores and are not in it."
    )
    return f"{above}\n\n{pipeline.table(result)}"


def scale_figures(result: dict[str, Any]) -> str:
    above = (
        f"{taken_on(result['machine'])} {result['events']:,} events, half predictions of 19 features (1.9 kB) and half "
        "outcomes. Consumers, broker and database share the cores."
    )
    return f"{above}\n\n{scale.table(result)}"


def growth_figures(result: dict[str, Any]) -> str:
    return f"{taken_on(result['machine'])} SQLite; seconds of one processor.\n\n{growth.table(result)}"


def serving_figures(result: dict[str, Any]) -> str:
    above = (
        f"{taken_on(result['machine'])} Server and load share the cores. Requests per second, the median of "
        f"{result['rounds']} rounds of {result['seconds']:g} s in which all servers took turns."
    )
    parts = [above, table(result), _ratios(result), _outage(result["outage"])]
    return "\n\n".join(parts + ([_soak(result["soak"])] if "soak" in result else []))


def taken_on(machine: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {version}" for name, version in machine["parts"].items())
    hardware = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB"
    return f"{machine['date']}, {hardware}, {machine['system']}, Python {machine['python']}, {parts}."


def _ratios(result: dict[str, Any]) -> str:
    lines = ["Our requests per second over theirs, one worker each, the median of the rounds:", ""]
    lines.append("| over | " + " | ".join(f"{c} conn." for c in CONNECTIONS) + " |")
    lines.append("| --- |" + " --- |" * len(CONNECTIONS))
    for peer in PEERS:
        found = result["ratios_by_connections"][peer]
        lines.append(f"| {TITLES[peer]} | " + " | ".join(f"{found[str(c)]:.2f}" for c in CONNECTIONS) + " |")
    return "\n".join(lines)


def _outage(found: dict[str, Any]) -> str:
    return (
        f"Online store taken away under load (two workers, 8 connections): {found['failed']} failed requests; "
        f"{found['by_rule_while_down']:,} of {found['requests_while_down']:,} answers by the rule while it was away, "
        f"p99 {found['p99_ms_while_down']:.1f} ms (budget of a look-up {found['budget_ms']:g} ms, p99 before "
        f"{found['p99_ms_before']:.1f} ms); every answer by the model "
        f"again {found['by_model_again_after_seconds']:.2f} s after it was put back."
    )


def _soak(found: dict[str, Any]) -> str:
    return (
        f"Soak of {len(found['minutes'])} minutes (two workers, 8 connections, {found['failed']} failed requests): "
        f"p99 {found['p99_first_minute_ms']:.1f} ms in the first minute and "
        f"{found['p99_last_minute_ms']:.1f} ms in the last; "
        f"resident memory {found['rss_first_minute_mb']:.0f} MB and {found['rss_last_minute_mb']:.0f} MB."
    )
