"""`make bench ARGS="serving --json F"`, or `pipeline`, `scale`, `growth`, `pipelines`, `against`: prints a table, and
writes the page."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import against, growth, pipeline, pipelines, scale, serving
from tests.benchmarks.page import growth_figures, pipeline_figures, scale_figures, serving_figures, write_page
from tests.benchmarks.plot import growth_svg


def main() -> int:
    arguments = _parser().parse_args()
    result, table, figures = arguments.measure(arguments)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    if arguments.page:
        write_page(arguments.page, arguments.benchmark, figures)
    return 0


def _serving(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    result = serving.run(
        seconds=arguments.seconds, rounds=arguments.rounds, soak_seconds=arguments.soak_seconds, say=_say
    )
    return result, serving.table(result), serving_figures(result)


def _pipeline(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    result = pipeline.run(events=arguments.events, say=_say)
    return result, pipeline.table(result), pipeline_figures(result)


def _scale(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    result = scale.run(events=arguments.events, rows=arguments.rows, say=_say)
    return result, scale.table(result), scale_figures(result)


def _growth(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    sizes: growth.Sizes = {name: getattr(arguments, name) for name in growth.SIZES}
    result = growth.run(sizes=growth.SHORT if arguments.short else sizes, say=_say)
    if arguments.plot:
        arguments.plot.write_text(growth_svg(result["grows"]), "utf-8")
    return result, growth.table(result), growth_figures(result)


def _pipelines(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    result = pipelines.run(arguments.csv, names=arguments.names, seconds=arguments.seconds, say=_say)
    return result, pipelines.table(result), pipelines.table(result)


def _against(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str]:
    result = against.run(
        other=arguments.checkout,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        events=arguments.events,
        say=_say,
    )
    return result, against.table(result), against.table(result)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="benchmark")
    command = commands.add_parser("serving", help="the prediction service beside its peers, on the churn pipeline")
    _add_outputs(command)
    command.add_argument("--seconds", type=float, default=2.0, help="length of one measurement [default: 2]")
    command.add_argument("--rounds", type=int, default=8, help="measurements of each kind, in turn [default: 8]")
    command.add_argument("--soak-seconds", type=float, default=600.0, help="length of the soak; 0 leaves it out")
    command.set_defaults(measure=_serving)
    command = commands.add_parser("pipeline", help="from the answer to the store, stage by stage, on each engine")
    _add_outputs(command)
    command.add_argument("--events", type=int, default=100_000, help="events of each stage, even [default: 100000]")
    command.set_defaults(measure=_pipeline)
    command = commands.add_parser("scale", help="several consumers, bytes on disk, and judgements of large windows")
    _add_outputs(command)
    command.add_argument("--events", type=int, default=300_000, help="that consumers share, even [default: 300000]")
    command.add_argument("--rows", type=int, default=1_000_000, help="of the largest window [default: 1000000]")
    command.set_defaults(measure=_scale)
    command = commands.add_parser("growth", help="what grows with models, features, categories, records and events")
    _add_outputs(command)
    for name, sizes in growth.SIZES.items():
        told = ",".join(map(str, sizes))
        command.add_argument(f"--{name}", type=_sizes, default=sizes, help=f"sizes, smallest first [default: {told}]")
    command.add_argument("--short", action="store_true", help="small sizes, a minute in all: to see that it works")
    command.add_argument("--plot", type=Path, help="draw the curves into this SVG file")
    command.set_defaults(measure=_growth)
    command = commands.add_parser(
        "pipelines", help="a hundred pipelines of scikit-learn: what serves each, and how fast"
    )
    command.add_argument("csv", type=Path, help="the Telco file, which is no part of the repository")
    command.add_argument("names", nargs="*", help="parts of the names of those to measure [default: all]")
    _add_outputs(command)
    command.add_argument("--seconds", type=float, default=2.0, help="length of one load [default: 2]")
    command.set_defaults(measure=_pipelines)
    command = commands.add_parser("against", help="this checkout beside another one, serving and pipeline in turns")
    command.add_argument("checkout", type=Path, help="directory of the other one, set up with `make .venv/ready`")
    _add_outputs(command)
    command.add_argument("--seconds", type=float, default=4.0, help="length of one load [default: 4]")
    command.add_argument("--rounds", type=int, default=6, help="turns of each [default: 6]")
    command.add_argument("--events", type=int, default=40_000, help="events of each stage, even [default: 40000]")
    command.set_defaults(measure=_against)
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _add_outputs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, help="write the results to this file")
    command.add_argument("--page", type=Path, help="write the results into this page, between its marks")


if __name__ == "__main__":
    sys.exit(main())
