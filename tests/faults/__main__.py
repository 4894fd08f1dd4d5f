"""`make faults ARGS="--json F"`: every fault for a minute, a line each, and the rows as JSON."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.faults.faults import DISK_FULL, FAULTS
from tests.faults.stage import running_stage, small_disk
from tests.faults.trial import Trial, try_fault
from tests.servers.kafka import running_broker


def main() -> int:
    arguments = _parser().parse_args()
    trials = []
    with (
        running_broker() as broker,
        tempfile.TemporaryDirectory(prefix="bellwether-faults-") as home,
        small_disk(Path(home)) as may_be_filled,
        running_stage(Path(home), broker) as stage,
    ):
        for name in arguments.only or FAULTS:
            if name == DISK_FULL and not may_be_filled:
                print(f"{name:40s} left out: nobody may mount a disk here that could be filled", flush=True)
                continue
            trials.append(asyncio.run(try_fault(name, FAULTS[name], stage, seconds=arguments.seconds)))
            print(_line(trials[-1]), flush=True)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(trials)) + b"\n")
    return 0 if all(_sound(trial) for trial in trials) else 1


def _line(trial: Trial) -> str:
    return (
        f"{trial.fault:40s} sent {trial.sent:6,d}  stored {trial.stored:6,d}  lost {trial.lost}  "
        f"duplicated {trial.duplicated}  failed {trial.failed_requests}  caught up {trial.seconds_to_catch_up:.1f} s"
    )


def _sound(trial: Trial) -> bool:
    return trial.stored == trial.sent and not (trial.lost or trial.duplicated or trial.failed_requests)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make faults ARGS=…", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fault lasts [default: 60]")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), help="this fault; may be given again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
