"""`make faults ARGS="--json F"`: every fault for a minute, one of them for ten, a line each, and the rows as JSON.

With `--page docs/reliability.md` the figures stand there, too.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from tests.benchmarks.machine import described
from tests.benchmarks.page import taken_on, write_page
from tests.faults.faults import FAULTS, Fault
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.stage import Scene, running_stage
from tests.faults.trial import Trial
from tests.faults.under_load import try_fault
from tests.servers.kafka import Broker, running_broker
from tests.servers.postgresql import running_postgresql
from tests.servers.process import Unavailable

NAMES: Final = [*(fault.name for fault in FAULTS), *(scenario.name for scenario in SCENARIOS)]


def main() -> int:
    # What was started is stopped on the way out, also when somebody ends the run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = _parser().parse_args()
    chosen = arguments.only or NAMES
    trials = [
        *_faults([fault for fault in FAULTS if fault.name in chosen], arguments),
        *_scenarios([scenario for scenario in SCENARIOS if scenario.name in chosen], arguments),
    ]
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(trials)) + b"\n")
    if arguments.page:
        write_page(arguments.page, "faults", figures(trials), target="faults")
    return 1 if any(trial.problems for trial in trials) else 0


def _faults(faults: Sequence[Fault], arguments: argparse.Namespace) -> Iterator[Trial]:
    if not faults:
        return
    with running_broker() as broker:
        for scene, theirs in groupby(faults, key=lambda fault: fault.scene):
            try:
                yield from _tried(scene, list(theirs), broker, arguments)
            except Unavailable as error:
                print(f"{scene.value}: left out, {error}", flush=True)


def _scenarios(scenarios: Sequence[Scenario], arguments: argparse.Namespace) -> Iterator[Trial]:
    for scenario in scenarios:
        with tempfile.TemporaryDirectory(prefix="bellwether-faults-") as home:
            try:
                trial = scenario.play(Path(home), arguments.seconds)
            except Unavailable as error:
                print(f"{scenario.name}: left out, {error}", flush=True)
                continue
        print(_line(trial), flush=True)
        yield trial


def _tried(scene: Scene, faults: Sequence[Fault], broker: Broker, arguments: argparse.Namespace) -> Iterator[Trial]:
    """Raises `Unavailable`, before the first of them."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-faults-")))
        server = stack.enter_context(running_postgresql()) if scene is Scene.POSTGRESQL else None
        stage = stack.enter_context(running_stage(scene, home, broker, server))
        for fault in faults:
            seconds = 60 * arguments.outage_minutes if fault.is_outage else arguments.seconds
            trial = asyncio.run(try_fault(fault, stage, seconds=seconds))
            print(_line(trial), flush=True)
            yield trial


def _line(trial: Trial) -> str:
    memory = ", ".join(f"{kind} {grown.first:.0f}–{grown.largest:.0f}" for kind, grown in trial.memory_mb.items())
    line = (
        f"{trial.fault:38s} {trial.seconds:4.0f} s  sent {trial.sent:7,d}  stored {trial.stored:7,d}  lost {trial.lost}"
        f"  duplicated {trial.duplicated}  unaccounted {trial.unaccounted}  failed {trial.failed_requests}"
        f"  caught up {trial.seconds_to_catch_up:5.1f} s"
        f"  MB: {memory}, outbox {trial.outbox_mb.first:.0f}–{trial.outbox_mb.largest:.0f}"
    )
    return "\n    ".join([line, *trial.problems])


def figures(trials: Sequence[Trial]) -> str:
    """A Markdown table: a line for each fault."""
    heads = (
        "fault",
        "store",
        "s",
        "sent",
        "stored",
        "lost",
        "twice",
        "unaccounted",
        "failed",
        "retried",
        "s to catch up",
    )
    lines = [heads, ("---",) * len(heads)]
    lines += [
        (
            trial.fault,
            trial.store,
            f"{trial.seconds:.0f}",
            f"{trial.sent:,}",
            f"{trial.stored:,}",
            str(trial.lost),
            str(trial.duplicated),
            str(trial.unaccounted),
            str(trial.failed_requests),
            str(trial.retried_requests),
            f"{trial.seconds_to_catch_up:.1f}",
        )
        for trial in trials
    ]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{taken_on(described())} Four callers ask without a pause.\n\n{table}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make faults ARGS=…", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--page", type=Path, help="write the figures into this page, between its marks")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fault lasts [default: 60]")
    parser.add_argument(
        "--outage-minutes", type=float, default=10.0, help="how long the broker's maintenance lasts [default: 10]"
    )
    parser.add_argument("--only", action="append", choices=sorted(NAMES), help="this fault; may be given again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
