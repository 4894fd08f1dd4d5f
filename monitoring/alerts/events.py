"""Whether every event arrives: out of the local log, through the consumer, into the store, and none is lost."""

from datetime import timedelta
from typing import Final

from monitoring.alerts.pace import FLOW, Pace
from monitoring.alerts.rule import FORWARDER_JOB, Alert, Dashboard, Group, Recording, Severity
from monitoring.metrics import table as monitor
from services.metrics import table

LAG: Final = "bellwether:consumer_lag:sum"
UNACCOUNTED: Final = "bellwether:events_unaccounted:increase1h"

OUTBOX_AGE: Final = timedelta(minutes=10)
"""A broker's restart takes a minute or two; whoever waits for ten is away."""

OUTBOX_SHARE: Final = 0.8
"""Of the limit, beyond which predictions are refused: what is left is the time to act in."""

SILENCE: Final = timedelta(minutes=2)
"""A consumer looks several times a second, or every five seconds while the log or the store is away."""

TOLERATED_SHARE: Final = 0.1
TOLERATED_EVENTS: Final = 10
"""A consumer that restarts forgets what it counted since the last scrape. `bellwether audit events` is exact."""


def event_rules(pace: Pace, *, batch: int) -> Group:
    """`batch` is how many events the consumer stores at once: a lag below it is no lag."""
    return Group(
        (
            *_recordings(pace),
            _undelivered(pace),
            _nearly_full(),
            _forwarder_down(pace),
            _dead_letters(pace),
            _position_reset(pace),
            _expired(pace),
            _lag(pace, batch),
            _store_away(),
            _silent(pace),
            _unaccounted(),
        ),
    )


def _recordings(pace: Pace) -> tuple[Recording, ...]:
    def grown(name: str) -> str:
        return f"sum(increase({name}[{pace.window(timedelta(hours=1), least=FLOW)}]))"

    appended, dead = grown(table.EVENTS_APPENDED), grown(table.EVENTS_DEAD_LETTERED)
    arrived = f"({grown(table.EVENTS_STORED)} + {grown(table.EVENTS_DUPLICATE)} + ({dead} or vector(0)))"
    return (
        Recording(name=LAG, expr=f"sum({table.CONSUMER_LAG})"),
        Recording(
            name=UNACCOUNTED,
            expr=f"{appended} * {1 - TOLERATED_SHARE:g} - {TOLERATED_EVENTS}\n-\n{arrived}",
        ),
    )


def _undelivered(pace: Pace) -> Alert:
    return Alert(
        name="EventsUndelivered",
        expr=f"{table.OUTBOX_OLDEST} > {pace.age(OUTBOX_AGE)}",
        lasts=timedelta(minutes=5),
        severity=Severity.TICKET,
        summary="The oldest event of {{ $labels.instance }} waits for Kafka since {{ $value | humanizeDuration }}",
        description="No event is lost: they wait in the local log, up to its limit. Nothing new is judged meanwhile.",
        dashboard=Dashboard.PIPELINE,
        of_process=True,
    )


def _nearly_full() -> Alert:
    return Alert(
        name="OutboxNearlyFull",
        expr=f"{table.OUTBOX_DEPTH} / {table.OUTBOX_LIMIT} > {OUTBOX_SHARE:g}",
        lasts=timedelta(minutes=1),
        severity=Severity.PAGE,
        summary="The local log of {{ $labels.instance }} holds {{ $value | humanizePercentage }} of the events it may",
        description="At its limit predictions are refused, unless BELLWETHER_OUTBOX_FULL is grow.",
        dashboard=Dashboard.PIPELINE,
    )


def _dead_letters(pace: Pace) -> Alert:
    window = pace.window(timedelta(hours=1))
    return Alert(
        name="DeadLettersAppeared",
        expr=f"max({monitor.DEAD_LETTERS}) - min(min_over_time({monitor.DEAD_LETTERS}[{window}])) > 0",
        lasts=timedelta(minutes=1),
        severity=Severity.TICKET,
        summary="{{ $value | printf `%.0f` }} events could not become rows",
        description="They are kept whole, with the reason, and can be tried again; until then nothing judges them.",
        dashboard=Dashboard.PIPELINE,
    )


def _position_reset(pace: Pace) -> Alert:
    return Alert(
        name="PositionReset",
        expr=_lately(f"max by (reason) ({table.POSITION_RESET_AT})", pace),
        lasts=timedelta(0),
        severity=Severity.TICKET,
        summary="Consumers read again from an earlier position: {{ $labels.reason }}",
        description="The log or the store is another one, or an earlier copy. What the other one held may be lost.",
        dashboard=Dashboard.PIPELINE,
    )


def _expired(pace: Pace) -> Alert:
    return Alert(
        name="EventsExpired",
        expr=_lately(f"max({table.EVENTS_EXPIRED_AT})", pace),
        lasts=timedelta(0),
        severity=Severity.PAGE,
        summary="Events were gone from the log before they were stored",
        description="The log keeps events for less time than consumers were away, or somebody removed some.",
        dashboard=Dashboard.PIPELINE,
    )


def _lately(moment: str, pace: Pace) -> str:
    """For what mostly happens when a process starts: its counters have no earlier value that they could rise from."""
    return f"time() - {moment} < {pace.age(timedelta(hours=1))}"


def _lag(pace: Pace, batch: int) -> Alert:
    return Alert(
        name="ConsumerLagNotFalling",
        expr=f"{LAG} > {batch}\nand deriv({LAG}[{pace.window(timedelta(minutes=15))}]) >= 0",
        lasts=timedelta(minutes=15),
        severity=Severity.TICKET,
        summary="Consumers are {{ $value | printf `%.0f` }} events behind, and not catching up",
        description="What is judged is older than it should be, by as much as these events took to come.",
        dashboard=Dashboard.PIPELINE,
    )


def _silent(pace: Pace) -> Alert:
    return Alert(
        name="ConsumerSilent",
        # A process that is gone takes its series along: then there is no time that could be old.
        expr=f"time() - max({table.CONSUMER_LAST_ROUND}) > {pace.age(SILENCE)}\nor absent({table.CONSUMER_LAST_ROUND})",
        lasts=timedelta(minutes=3),
        severity=Severity.PAGE,
        summary="No consumer looks for events",
        description="Events pile up in the log, and nothing new is judged: every figure of the monitor is old.",
        dashboard=Dashboard.PIPELINE,
        of_process=True,
    )


def _store_away() -> Alert:
    return Alert(
        name="StoreAway",
        # One consumer that gets through shows that the store is there.
        expr=f"max({table.STORE_UP}) == 0",
        lasts=timedelta(minutes=3),
        severity=Severity.PAGE,
        summary="The record store takes nothing",
        description="Events wait in the log and none is lost, up to what it keeps. Nothing is judged or retrained.",
        dashboard=Dashboard.PIPELINE,
        of_process=True,
    )


def _forwarder_down(pace: Pace) -> Alert:
    return Alert(
        name="ForwarderDown",
        # One that answers and cannot see the local log knows as little of what waits there.
        expr=f'up{{job="{FORWARDER_JOB}"}} == 0\nor time() - {table.FORWARDER_LAST_ROUND} > {pace.age(SILENCE)}',
        lasts=timedelta(minutes=5),
        severity=Severity.PAGE,
        summary="The forwarder at {{ $labels.instance }} does not answer, or cannot see its log",
        description="Events of its machine wait, and it alone tells how many: at the limit predictions are refused.",
        dashboard=Dashboard.PIPELINE,
        of_process=True,
    )


def _unaccounted() -> Alert:
    # Events under way are no loss: neither those that consumers have not stored, nor those that wait for Kafka. Where
    # no consumer knows how many those are, nobody knows whether one is missing; a store that is away has an alert.
    return Alert(
        name="EventsUnaccounted",
        expr=f"{UNACCOUNTED} - on () {LAG} - on () (sum({table.OUTBOX_DEPTH}) or vector(0)) > 0\n"
        f"unless on () max({table.STORE_UP}) == 0",
        lasts=timedelta(hours=1),
        severity=Severity.PAGE,
        summary="At least {{ $value | printf `%.0f` }} events of the last hour were appended and never stored",
        description="More was answered than arrived, beyond what restarts forget to count, and nothing is under way.",
        dashboard=Dashboard.PIPELINE,
        of_process=True,
    )
