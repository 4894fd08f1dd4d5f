"""`bellwether up` is told to stop while it starts, told again while it stops, and killed: nobody is left behind."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.settings import Settings
from tests.faults.scenarios.processes import Run, carried_over, running, taken_ports, trial_of
from tests.faults.trial import Trial
from tests.ports import stack_ports

NAME: Final = "second signal"
GONE_SECONDS: Final = 5.0
LONG: Final = 30.0
"""From so many seconds on every moment is tried, else those that differ most."""


@dataclass(frozen=True)
class Moment:
    """When `up` has said `after`, it gets these signals, each once it has said what stands beside it."""

    after: str
    signals: Sequence[tuple[signal.Signals, str]]
    code: int
    short: bool = False


TRAINED, PLAYS, ENDS = "trained churn", "day  req/s", "recorded; "
MOMENTS: Final = (
    Moment(TRAINED, [(signal.SIGTERM, "")], code=0, short=True),
    Moment(PLAYS, [(signal.SIGKILL, "")], code=-signal.SIGKILL, short=True),
    Moment(PLAYS, [(signal.SIGINT, ENDS), (signal.SIGINT, "")], code=1, short=True),
    Moment("home  ", [(signal.SIGINT, "")], code=0),
    Moment(TRAINED, [(signal.SIGINT, "Told to stop"), (signal.SIGINT, "")], code=1),
    Moment(TRAINED, [(signal.SIGKILL, "")], code=-signal.SIGKILL),
    Moment(PLAYS, [(signal.SIGTERM, ENDS), (signal.SIGTERM, "")], code=1),
    Moment(PLAYS, [(signal.SIGTERM, ""), (signal.SIGTERM, "")], code=1),
    Moment(PLAYS, [(signal.SIGHUP, "")], code=0),
    Moment(PLAYS, [(signal.SIGINT, "")], code=0),
)


def play(home: Path, seconds: float) -> Trial:
    """One run after another in the same home, which each of them finds free."""
    settings = Settings(home=home / "home", workers=1).with_flags(**stack_ports())
    wrong: list[str] = []
    for number, moment in enumerate(each for each in MOMENTS if each.short or seconds >= LONG):
        with running(settings, home / f"up-{number}.txt", "up", "--days", "200") as run:
            wrong += [f"{_told(moment)}: {problem}" for problem in _hurt(run, moment, settings)]
        wrong += carried_over(settings)
    return trial_of(NAME, _homes(settings), seconds=seconds, wrong=wrong)


def _hurt(run: Run, moment: Moment, settings: Settings) -> Iterator[str]:
    run.await_line(moment.after)
    for number, then in moment.signals:
        run.send(number)
        run.await_line(then)
    code = run.await_end()
    left = run.left_behind(after=GONE_SECONDS)
    if code != moment.code:
        yield f"exit code {code}, expected {moment.code}: {run.said[-2000:]}"
    if left:
        yield f"left behind: {', '.join(left)}"
    if moment.code == 0 and moment.after == PLAYS and ", 0 events unaccounted for" not in run.said:
        yield "the account was not told"
    yield from taken_ports(settings)


def _told(moment: Moment) -> str:
    return f"{', '.join(number.name for number, _ in moment.signals)} after {moment.after!r}"


def _homes(settings: Settings) -> list[Settings]:
    """The last run's, and where each later one moved those before it."""
    earlier = sorted((settings.home / "earlier").iterdir())
    return [replace(settings, home=home) for home in (*earlier, settings.home) if (home / "events.sqlite").exists()]
