"""`make bench ARGS="serving --json F"`: measures, prints a table, and writes what docs/benchmarks.md shows."""

import argparse
import json
import sys
from pathlib import Path

from tests.benchmarks import serving
from tests.benchmarks.page import write_page


def main() -> int:
    arguments = _parser().parse_args()
    result = serving.run(
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        soak_seconds=arguments.soak_seconds,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(serving.table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    if arguments.page:
        write_page(arguments.page, result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("serving", help="the prediction service beside its peers, on the churn pipeline")
    command.add_argument("--json", type=Path, help="write the results to this file")
    command.add_argument("--page", type=Path, help="write the results into this page, between its marks")
    command.add_argument("--seconds", type=float, default=2.0, help="length of one measurement [default: 2]")
    command.add_argument("--rounds", type=int, default=8, help="measurements of each kind, in turn [default: 8]")
    command.add_argument("--soak-seconds", type=float, default=600.0, help="length of the soak; 0 leaves it out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
