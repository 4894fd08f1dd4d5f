"""Writes the figures of a run into docs/benchmarks.md, between two marks; the rest of the page is written by people."""

from pathlib import Path
from typing import Any, Final

from services.core.errors import BellwetherError
from tests.benchmarks.contestants import TITLES
from tests.benchmarks.serving import CONNECTIONS, PEERS, table

BEGIN: Final = "<!-- figures: written by `make bench` -->"
END: Final = "<!-- end of figures -->"


def write_page(path: Path, result: dict[str, Any]) -> None:
    """Replace what stands between the marks. Raises `BellwetherError` when the page lacks them."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BellwetherError(f"{path} has no lines {BEGIN} and {END}; add them where the figures shall stand")
    path.write_text(f"{before}{BEGIN}\n\n{figures(result)}\n\n{END}{after}", "utf-8")


def figures(result: dict[str, Any]) -> str:
    parts = [_machine(result), table(result), _ratios(result), _outage(result["outage"])]
    return "\n\n".join(parts + ([_soak(result["soak"])] if "soak" in result else []))


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    parts = ", ".join(f"{name} {version}" for name, version in machine["parts"].items())
    hardware = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB"
    return (
        f"{machine['date']}, {hardware}, {machine['system']}, "
        f"Python {machine['python']}, {parts}. Server and load share the cores. Requests per second, the median of "
        f"{result['rounds']} rounds of {result['seconds']:g} s in which all servers took turns."
    )


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
