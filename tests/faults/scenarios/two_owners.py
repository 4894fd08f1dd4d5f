"""A service runs; a second `serve` and an `up` are started over the same home, at other ports."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from services.settings import Settings
from tests.faults.scenarios.asking import ask, counted, is_ready
from tests.faults.scenarios.processes import Run, carried_over, running, taken_ports, trial_of
from tests.faults.trial import Trial
from tests.ports import stack_ports
from tests.waiting import eventually

NAME: Final = "two owners"
ASKED: Final = 200
QUESTION: Final[dict[str, Any]] = {"entity_id": "c-1", "features": {}}
"""No version serves, so the rule answers, whatever is known."""
GONE_SECONDS: Final = 5.0


def play(home: Path, seconds: float) -> Trial:
    settings = Settings(home=home / "home", workers=2).with_flags(**stack_ports())
    with running(settings, home / "first.txt", "serve") as first:
        eventually(lambda: is_ready(_address(settings)), what=f"the first is ready, see {first.output}", seconds=150)
        failed = ask(_address(settings), "churn", QUESTION, times=ASKED)
        wrong = [*_beside(first, settings, home)]
        failed += ask(_address(settings), "churn", QUESTION, times=ASKED)
        if (found := counted(_address(settings), expected=2 * ASKED)) != 2 * ASKED:
            wrong.append(f"the first counted {found:.0f} of {2 * ASKED} answers")
        first.send(signal.SIGTERM)
        first.await_end()
        wrong += [f"left behind: {each}" for each in first.left_behind(after=GONE_SECONDS)]
    wrong += carried_over(settings)
    return trial_of(NAME, [settings], seconds=seconds, wrong=wrong, failed_requests=failed)


def _beside(first: Run, settings: Settings, home: Path) -> Iterator[str]:
    """What was wrong about the two that came second."""
    kept, others = _files(settings.home), settings.with_flags(**stack_ports())
    for command in ("serve", "up"):
        with running(others, home / f"second-{command}.txt", command) as second:
            code = second.await_end()
            if code == 0 or f"is in use by process {first.process.pid} (bellwether serve)" not in second.said:
                yield f"{command} was not refused, or not for this reason: exit code {code}, {second.said[-2000:]}"
            yield from (f"left behind: {each}" for each in second.left_behind(after=GONE_SECONDS))
    yield from taken_ports(others)
    if missing := kept - _files(settings.home):
        yield f"moved away or removed: {', '.join(sorted(missing))}"


def _files(home: Path) -> set[str]:
    """But for what workers write aside and rename."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.name[0] != "."}


def _address(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"
