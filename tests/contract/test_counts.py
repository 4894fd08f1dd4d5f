"""What every record store promises of its totals: they are kept, and are what counting every row would find."""

import random
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from services.adapters.record_store import RecordStoreSql, counting
from services.adapters.record_store.schema import (
    current_outcomes,
    dead_letters,
    orphan_outcomes,
    outcomes,
    predictions,
    removals,
)
from services.core.events import outcome_event
from services.core.outcomes import OutcomeObserved
from services.core.ports import RecordCounts, RecordStore
from services.core.predictions import PredictionMade, ServedBy
from services.core.records import Batch, DeadLetter
from tests.contract.stores import Open
from tests.toy import NOON, prediction

HOUR = timedelta(hours=1)
MODELS = ("toy", "another")
MADE = st.builds(lambda number, by: made(number, by=by), number=st.integers(0, 9), by=st.sampled_from(list(ServedBy)))
SEEN = st.builds(
    lambda number, model, value, hours: seen(number, model=model, value=value, hours=hours),
    number=st.integers(0, 9),
    model=st.sampled_from(MODELS),
    value=st.sampled_from(["left", "stayed"]),
    hours=st.integers(0, 9),
)
LETTERS = st.integers(0, 4).map(lambda number: letter(number % 5))
BATCHES = st.builds(Batch, st.lists(MADE, max_size=4), st.lists(SEEN, max_size=4), st.lists(LETTERS, max_size=2))
STEPS = st.one_of(
    st.tuples(st.just("commit"), BATCHES),
    st.tuples(st.just("redeem"), st.builds(Batch, st.lists(MADE, max_size=2), st.lists(SEEN, max_size=2), st.just([]))),
    st.tuples(st.just("prune"), st.tuples(st.sampled_from(MODELS), st.integers(0, 12), st.integers(1, 4))),
    st.tuples(st.just("prune letters"), st.integers(0, 12)),
)


def made(number: int, *, by: ServedBy = ServedBy.MODEL) -> PredictionMade:
    """Of one model or the other, by the number; made in the hour of its number."""
    return prediction(number, model=MODELS[number % 2], served_by=by, made_at=NOON + number * HOUR)


def seen(number: int, *, model: str, value: str = "left", hours: int = 1) -> tuple[str, OutcomeObserved]:
    fact = OutcomeObserved(
        prediction_id=prediction(number).prediction_id, model=model, value=value, observed_at=NOON + hours * HOUR
    )
    return outcome_event(fact).id, fact


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        event_id=f"event-{number}",
        reason="undecodable",
        detail="no JSON",
        origin=f"event-log@{number}",
        type="bellwether.prediction.made.v1",
        key="key",
        data=b"{",
        at=NOON + number * HOUR,
    )


def take(store: RecordStore, step: tuple[str, Any]) -> None:
    what, with_it = step
    if what == "commit":
        store.commit(with_it, consumer="c", position=1)
    elif what == "redeem":
        store.redeem(with_it, origins=[letter(number).origin for number in range(3)])
    elif what == "prune":
        model, hours, limit = with_it
        store.prune(model, before=NOON + hours * HOUR, as_of=NOON, limit=limit)
    else:
        store.prune_dead_letters(before=NOON + with_it * HOUR, as_of=NOON, limit=2)


def counted(store: RecordStore, model: str | None = None) -> RecordCounts:
    """By a look at every row."""
    assert isinstance(store, RecordStoreSql)

    def among(table: Any) -> list[Any]:
        return [] if model is None else [table.c.model == model]

    def rows(table: Any, *conditions: Any) -> int:
        return connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    joined = current_outcomes.outerjoin(
        predictions,
        (predictions.c.prediction_id == current_outcomes.c.prediction_id)
        & (predictions.c.model == current_outcomes.c.model),
    )
    pruned = select(func.sum(removals.c.predictions + removals.c.outcomes)).where(*among(removals))
    by = select(predictions.c.served_by, func.count()).where(*among(predictions)).group_by(predictions.c.served_by)
    with store._database.transaction() as connection:
        predictions_by: dict[str, int] = dict(connection.execute(by).tuples().all())
        return RecordCounts(
            predictions=sum(predictions_by.values()),
            predictions_by=predictions_by,
            outcomes=rows(outcomes, *among(outcomes)),
            corrections=rows(outcomes, *among(outcomes)) - rows(current_outcomes, *among(current_outcomes)),
            orphan_outcomes=rows(joined, predictions.c.prediction_id.is_(None), *among(current_outcomes)),
            dead_letters=rows(dead_letters),
            pruned=int(connection.scalar(pruned) or 0),
        )


def assert_kept(store: RecordStore) -> None:
    for model in (*MODELS, "nobody", None):
        assert store.counts(model) == counted(store, model)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
def test_whatever_comes_and_goes_the_totals_are_those_of_the_rows(store: RecordStore, steps: list[Any]) -> None:
    for step in steps:
        take(store, step)
        assert_kept(store)


def test_consumers_that_store_predictions_and_their_outcomes_at_once_count_each_once(open_store: Open) -> None:
    """Those of one partition meet those of another: neither sees the other's before it is committed."""
    numbers = list(range(200))

    def deliver(store: RecordStore, chance: random.Random, consumer: str) -> None:
        for position in range(1, 16):
            some = chance.sample(numbers, 60)
            batch = Batch([made(each) for each in some], [], [])
            if int(consumer) % 2:
                batch = Batch([], [seen(each, model=MODELS[each % 2]) for each in some], [])
            store.commit(batch, consumer=consumer, position=position)

    threads = [
        threading.Thread(target=deliver, args=(open_store(), random.Random(number), str(number)))  # noqa: S311 - a shuffle
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert_kept(open_store())


def test_totals_do_not_grow_with_the_rows(store: RecordStore) -> None:
    """No row is looked at: what is asked for are the kept ones."""
    store.commit(Batch([made(number) for number in range(10)], [], []), consumer="c", position=1)
    assert isinstance(store, RecordStoreSql)
    with store._database.transaction() as connection:
        connection.exec_driver_sql("UPDATE counts SET n = 7000000 WHERE what = 'made/model' AND model = 'toy'")

    assert store.counts("toy").predictions == 7_000_000


def test_triggers_that_a_migration_took_away_are_put_back_and_what_came_meanwhile_is_counted(
    store: RecordStore,
) -> None:
    store.commit(Batch([made(1)], [seen(1, model="another")], [letter(1)]), consumer="c", position=1)
    assert isinstance(store, RecordStoreSql)
    with store._database.transaction() as connection:
        counting.remove(connection)
    store.commit(Batch([made(2)], [seen(3, model="another")], [letter(2)]), consumer="c", position=2)

    store.migrate()
    assert_kept(store)
    store.commit(Batch([made(3), made(4)], [seen(4, model="toy")], []), consumer="c", position=3)
    assert_kept(store)


def test_what_somebody_adds_or_removes_with_a_shell_is_counted_too(store: RecordStore) -> None:
    store.commit(Batch([made(1), made(2)], [seen(1, model="another")], [letter(1)]), consumer="c", position=1)
    assert isinstance(store, RecordStoreSql)
    by_hand = "INSERT INTO {0} ({1}) SELECT {2} FROM {0}"
    columns = [column.name for column in predictions.columns]
    copied = ", ".join("'copy of ' || prediction_id" if each == "prediction_id" else each for each in columns)
    with store._database.transaction() as connection:
        connection.exec_driver_sql(by_hand.format("predictions", ", ".join(columns), copied))
        connection.exec_driver_sql("DELETE FROM outcomes")
        connection.exec_driver_sql("DELETE FROM current_outcomes")

    assert store.counts().predictions == 4
    assert_kept(store)


def test_the_triggers_of_an_earlier_version_give_way_to_those_of_this_one(tmp_path: Path) -> None:
    store = RecordStoreSql(f"sqlite:///{tmp_path / 'records.db'}")
    store.migrate()
    store.commit(Batch([made(1)], [seen(1, model="another")], []), consumer="c", position=1)
    count_each_row = (
        "CREATE TRIGGER count_outcomes_added AFTER INSERT ON outcomes BEGIN "
        "INSERT INTO counts (model, what, shard, n) VALUES (NEW.model, 'outcomes', 0, 1) "
        "ON CONFLICT (model, what, shard) DO UPDATE SET n = n + excluded.n; END"
    )
    with store._database.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER count_outcomes_added")
        connection.exec_driver_sql(count_each_row)

    store.migrate()
    store.commit(Batch([], [seen(3, model="another")], []), consumer="c", position=2)

    assert store.counts().outcomes == 2
    assert_kept(store)


def test_so_many_orphans_that_they_are_not_looked_up_are_still_counted(store: RecordStore) -> None:
    astray = [seen(number, model="toy") for number in range(10)]
    store.commit(Batch([], astray, []), consumer="c", position=1)
    assert isinstance(store, RecordStoreSql)
    with store._database.transaction() as connection:
        more = [{"model": "toy", "prediction_id": f"p{number}"} for number in range(counting.ORPHANS_LOOKED_UP)]
        connection.execute(orphan_outcomes.insert(), more)

    assert store.counts("toy").orphan_outcomes == counting.ORPHANS_LOOKED_UP + 10


def test_a_prediction_that_takes_an_id_twice_in_a_batch_counts_once(store: RecordStore) -> None:
    again = msgspec.structs.replace(made(1), label="other")
    store.commit(Batch([made(1), again, made(1)], [], []), consumer="c", position=1)
    assert_kept(store)
