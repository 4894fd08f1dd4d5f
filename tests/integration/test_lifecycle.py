"""From a drift alert to a promoted version, on real files: SQLite, the model store, the workers' alias file."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitoring.evaluation.standing import BELIEVED
from monitoring.lifecycle.alerts import intake
from monitoring.lifecycle.promote import awaiting, promote_by_hand
from monitoring.lifecycle.retrain import first_version
from monitoring.lifecycle.step import BY_HAND, follow, resume, step
from services.core.errors import LeaseLost
from services.core.features import FeatureVerdict, Status
from services.core.records import CHAMPION, Job, JobState, Judged
from services.core.spec import ModelSpec
from services.core.training import TrainingSet
from services.serving.runtime import load
from tests.toy import NOON, toy_spec
from tests.toy_traffic import flipped, toy_rows, world_of_moods
from tests.workshop import SPEC, Bench, asked_daily, drift_payload, open_bench, past_cases, record

CHANGED = NOON + timedelta(days=1)
DAY = timedelta(days=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """v1 serves; the world has been as in its training until `CHANGED`."""
    bench = open_bench(tmp_path)
    assert first_version(SPEC, bench.workshop, cases=past_cases(800, seed=1)).promoted
    yield bench
    bench.store.close()


def answers_after(n: int, *, first: int = 10_000) -> list[Judged]:
    """As the world has been."""
    return toy_rows(n, seed=3, begin=CHANGED, every=timedelta(minutes=2), first=first)


def world_after(n: int, *, first: int = 10_000) -> list[Judged]:
    """The same questions in a world that has changed."""
    return world_of_moods(answers_after(n, first=first), seed=3)


def of_entity(row: Judged, entity_id: str) -> Judged:
    return msgspec.structs.replace(row, prediction=msgspec.structs.replace(row.prediction, entity_id=entity_id))


def answers_of_others(n: int, *, begin: datetime) -> list[Judged]:
    """Their outcomes are not known yet."""
    rows = toy_rows(n, seed=7, begin=begin, every=timedelta(minutes=2), first=50_000)
    return [msgspec.structs.replace(row, outcome=None, observed_at=None) for row in rows]


def flood(n: int, *, begin: datetime) -> list[Judged]:
    """One caller, who asks about the same entity again and again."""
    rows = toy_rows(n, seed=5, begin=begin, every=timedelta(seconds=2), first=100_000)
    return [of_entity(msgspec.structs.replace(row, outcome=None, observed_at=None), "again") for row in rows]


def outcomes_again(bench: Bench, rows: list[Judged], *, at: timedelta) -> None:
    """Their outcomes once more, observed so much later: a correction."""
    record(
        bench.store,
        [msgspec.structs.replace(row, observed_at=row.observed_at and row.observed_at + at) for row in rows],
    )


def later(bench: Bench, days: int) -> Bench:
    """So many days after the change; people have asked on each of them."""
    record(bench.store, asked_daily(begin=CHANGED + 2 * DAY, until=CHANGED + days * DAY))
    return bench.at(CHANGED + days * DAY)


def alert(bench: Bench, *, spec: ModelSpec = SPEC, features: str = "amount") -> Job:
    bench.at(CHANGED + DAY)
    intake(drift_payload(CHANGED, features=features), store=bench.store, specs={"toy": spec}, now=bench.moment[0])
    return bench.store.jobs("toy", limit=1)[0]


def stepped(bench: Bench, *, spec: ModelSpec = SPEC) -> Job:
    job = step(spec, bench.workshop)
    assert job is not None
    return job


def test_the_first_version_beats_the_rule_and_is_published(bench: Bench) -> None:
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}
    (version,) = bench.store.versions("toy")
    assert (version.version, version.training_rows) == ("v1", 560)
    assert (bench.workshop.training_directory / version.training_set).exists()
    assert load(bench.workshop.models.directory("toy", "v1"), SPEC).version == "v1"


def test_a_job_waits_for_outcomes_of_the_changed_world_then_trains_and_promotes(bench: Bench) -> None:
    record(bench.store, toy_rows(500, seed=2, every=timedelta(minutes=2)))
    record(bench.store, world_after(1200))
    alert(bench)

    early = stepped(bench)
    late = stepped(later(bench, 6))

    assert (early.state, early.note) == (JobState.WAITING, "waits for outcomes: 0 of 300 since the change have matured")
    assert late.state is JobState.PROMOTED
    assert late.evidence["version"] == "v2"
    assert late.evidence["auc"]["challenger"]["value"] > late.evidence["auc"]["champion"]["value"]
    assert late.evidence["doubts"] == []
    assert late.closed_at == CHANGED + 6 * DAY
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v2"}
    assert bench.store.versions("toy")[-1].evidence["trigger"] == "drift"


def test_a_waiting_job_is_looked_at_again_when_event_time_has_moved(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    alert(bench)
    first = stepped(bench)

    assert stepped(bench.at(bench.moment[0] + timedelta(minutes=30))) == first
    assert stepped(later(bench, 6)).state is JobState.PROMOTED


def test_flipped_outcomes_stop_the_job_and_the_champion_goes_on_serving(bench: Bench) -> None:
    record(bench.store, toy_rows(500, seed=2, every=timedelta(minutes=2)))
    record(bench.store, [flipped(row) for row in answers_after(1200)])
    alert(bench)

    stopped = stepped(later(bench, 6))

    assert stopped.state is JobState.OUTCOMES_DOUBTED
    assert stopped.note.startswith("outcomes look inverted since 2026-03-0")
    assert "`bellwether retrain toy --believe-outcomes" in stopped.note
    (doubt,) = stopped.evidence["doubts"]
    assert abs(datetime.fromisoformat(doubt["since"]) - CHANGED) < timedelta(hours=12)
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}
    assert [version.version for version in bench.store.versions("toy")] == ["v1"]
    assert not list(bench.workshop.training_directory.glob(f"*{stopped.closed_at:%Y-%m-%d}*"))


def test_the_same_alert_is_tried_again_once_the_right_outcomes_were_sent(bench: Bench) -> None:
    rows = answers_after(1200)
    record(bench.store, toy_rows(500, seed=2, every=timedelta(minutes=2)))
    record(bench.store, [flipped(row) for row in rows])
    alert(bench)
    stepped(later(bench, 6))
    outcomes_again(bench, world_of_moods(rows, seed=3), at=timedelta(hours=1))

    later(bench, 8)
    (receipt,) = intake(drift_payload(CHANGED), store=bench.store, specs={"toy": SPEC}, now=bench.moment[0])

    assert receipt.result == "accepted"
    assert stepped(bench).state is JobState.PROMOTED


def test_answers_without_an_outcome_do_not_keep_outcomes_from_being_checked(bench: Bench) -> None:
    record(bench.store, toy_rows(500, seed=2, every=timedelta(minutes=2)))
    record(bench.store, world_after(600))
    record(bench.store, flood(40_000, begin=CHANGED))
    alert(bench)

    done = stepped(later(bench, 6))

    assert done.state is JobState.PROMOTED, done.note


def test_a_busy_history_does_not_keep_the_outcomes_since_the_change_from_being_checked(bench: Bench) -> None:
    record(bench.store, toy_rows(40_000, seed=2, begin=CHANGED - 20 * DAY, every=timedelta(seconds=40), first=200_000))
    record(bench.store, world_after(600))
    alert(bench)

    done = stepped(later(bench, 6))

    assert done.state is JobState.PROMOTED, done.note


def test_a_job_waits_for_outcomes_to_check_until_its_patience_ends(bench: Bench) -> None:
    few = replace(SPEC.retraining, minimum_outcomes=50)
    spec = replace(SPEC, retraining=few, gate=replace(SPEC.gate, minimum_outcomes=10))
    record(bench.store, world_after(120))
    alert(bench, spec=spec)

    waits = stepped(later(bench, 6), spec=spec)
    refused = stepped(later(bench, 25), spec=spec)

    assert (waits.state, refused.state) == (JobState.WAITING, JobState.REFUSED)
    assert waits.note.startswith("waits: whether its outcomes can be believed is not known: ")


def test_what_a_person_believes_teaches_and_waits_for_a_person_to_be_promoted(bench: Bench) -> None:
    record(bench.store, [flipped(row) for row in answers_after(1200)])
    later(bench, 5).store.open_job(
        model="toy",
        trigger=BY_HAND,
        dedupe_key="once",
        since=CHANGED,
        opened_at=bench.moment[0],
        note="asked for by hand",
        evidence={BELIEVED: "they moved the headquarters"},
    )

    waits = stepped(bench)

    assert waits.state is JobState.AWAITS_APPROVAL
    assert waits.note.startswith("v2 waits for a person: it would tell ")
    assert waits.note.split(";")[1].endswith("`bellwether promote toy v2`")
    assert waits.evidence["changed_answers"]["share"] > 0.5
    assert "doubts" not in waits.evidence
    assert bench.workshop.models.versions("toy") == ["v1", "v2"]
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}
    assert awaiting(bench.store.jobs("toy", limit=5), bench.store.alias_changes("toy")) == waits


def test_a_version_that_waits_is_promoted_by_a_person_and_its_alert_is_answered(bench: Bench) -> None:
    spec = replace(SPEC, gate=replace(SPEC.gate, changed_answers_at_most=0.0))
    record(bench.store, world_after(1200))
    alert(bench)
    waits = stepped(later(bench, 6), spec=spec)
    assert waits.state is JobState.AWAITS_APPROVAL

    again = bench.restarted()
    done = promote_by_hand(
        spec,
        "v2",
        store=again.store,
        models=again.models,
        fleet=again.fleet,
        now=again.now() + DAY,
        reason="they moved the headquarters",
    )
    bench.at(CHANGED + 12 * DAY)
    (receipt,) = intake(drift_payload(CHANGED), store=bench.store, specs={"toy": spec}, now=bench.moment[0])

    assert done.version == "v2"
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v2"}
    assert bench.store.jobs("toy", limit=1)[0].state is JobState.PROMOTED
    assert awaiting(bench.store.jobs("toy", limit=5), bench.store.alias_changes("toy")) is None
    assert receipt.code == "answered"


def test_one_caller_s_flood_does_not_let_a_version_serve_that_has_to_wait(bench: Bench) -> None:
    spec = replace(SPEC, gate=replace(SPEC.gate, changed_answers_at_most=0.05))
    record(bench.store, world_after(1200))
    record(bench.store, flood(8000, begin=CHANGED + 4 * DAY))
    alert(bench)

    waits = stepped(later(bench, 5), spec=spec)

    assert waits.state is JobState.AWAITS_APPROVAL
    assert waits.evidence["changed_answers"]["n"] > 1000


def test_who_was_asked_about_before_counts_where_few_were_lately(bench: Bench) -> None:
    spec = replace(SPEC, gate=replace(SPEC.gate, changed_answers_at_most=0.05))
    record(bench.store, world_after(1200))
    record(bench.store, flood(50, begin=CHANGED + 20 * DAY))
    alert(bench)

    waits = stepped(later(bench, 20), spec=spec)

    assert waits.state is JobState.AWAITS_APPROVAL
    assert waits.evidence["changed_answers"]["n"] > 1000


def test_a_version_waits_where_what_it_changes_cannot_be_known(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    lately = answers_of_others(1500, begin=CHANGED + 14 * DAY)
    record(bench.store, [unusable(row, "visits") for row in lately])
    alert(bench)

    waits = stepped(later(bench, 19))

    assert waits.state is JobState.AWAITS_APPROVAL
    assert "only 5 of 1505 entities that were asked about lately had all features" in waits.note


def test_few_entities_that_were_all_looked_at_are_enough(bench: Bench) -> None:
    rows = [of_entity(row, f"user-{number % 40}") for number, row in enumerate(world_after(1200))]
    record(bench.store, rows)
    alert(bench)

    done = stepped(later(bench, 6))

    asked_since = 4  # one a day, beside the forty
    assert (done.state, done.evidence["changed_answers"]["n"]) == (JobState.PROMOTED, 40 + asked_since)


def test_a_spec_that_says_so_lets_every_version_serve_that_passes(bench: Bench) -> None:
    spec = replace(SPEC, gate=replace(SPEC.gate, changed_answers_at_most=1.0))
    record(bench.store, world_after(1200))
    alert(bench)

    assert stepped(later(bench, 6), spec=spec).state is JobState.PROMOTED


def test_a_broken_source_is_no_reason_to_retrain(bench: Bench) -> None:
    rows = [unusable(row, "visits") if number % 2 else row for number, row in enumerate(world_after(600))]
    record(bench.store, rows)
    alert(bench, features="visits")

    refused = stepped(bench)

    assert refused.state is JobState.REFUSED
    assert "visits was unusable in" in refused.note
    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}


def test_a_new_version_that_is_no_better_is_refused_and_the_champion_stays(bench: Bench) -> None:
    record(bench.store, toy_rows(1200, seed=5, begin=CHANGED, every=timedelta(minutes=2)))
    alert(bench)

    refused = stepped(later(bench, 6))

    assert refused.state is JobState.REFUSED
    assert "champion 0." in refused.note
    assert bench.store.aliases("toy") == {CHAMPION: "v1"}
    assert len(bench.store.versions("toy")) == 1


def test_a_job_gives_up_when_its_patience_ends(bench: Bench) -> None:
    alert(bench)

    refused = stepped(bench.at(CHANGED + 30 * DAY))

    assert (refused.state, refused.note.split(":")[0]) == (JobState.REFUSED, "gave up")


def test_a_job_that_a_clock_ahead_opened_is_closed_and_the_next_alert_opens_another(bench: Bench) -> None:
    payload = drift_payload(CHANGED)
    intake(payload, store=bench.store, specs={"toy": SPEC}, now=CHANGED + 500 * DAY)

    refused = stepped(bench.at(CHANGED))

    assert (refused.state, refused.note) == (
        JobState.REFUSED,
        "opened at 2027-07-15, ahead of now: the clock was wrong; the next alert opens another",
    )
    assert alert(bench).state is JobState.WAITING


def test_nothing_is_trained_by_a_clock_that_no_predictions_bear_out(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    alert(bench)

    ahead = stepped(bench.at(CHANGED + 500 * DAY))
    bench.at(CHANGED + 3 * DAY)
    intake(drift_payload(CHANGED), store=bench.store, specs={"toy": SPEC}, now=bench.moment[0])
    back = stepped(later(bench, 6))

    assert ahead.state is JobState.REFUSED
    assert ahead.note == (
        "gave up: 0 of 300 since the change have matured by 2026-03-04; the clock says 2027-07-15, "
        "which no predictions bear out yet"
    )
    assert back.state is JobState.PROMOTED


@pytest.mark.parametrize("ahead", [3, 10, 18])
@pytest.mark.parametrize("asked_meanwhile", [False, True])
def test_outcomes_do_not_mature_by_a_clock_that_is_some_days_ahead(
    bench: Bench, ahead: int, *, asked_meanwhile: bool
) -> None:
    record(bench.store, world_after(1200))
    alert(bench)
    jumped = CHANGED + (2 + ahead) * DAY
    if asked_meanwhile:
        record(bench.store, toy_rows(100, seed=8, begin=jumped - timedelta(hours=2), every=timedelta(minutes=1)))

    waits = stepped(bench.at(jumped))
    back = stepped(later(bench, 21))

    assert waits.state is JobState.WAITING
    assert waits.note == (
        "waits for outcomes: 0 of 300 since the change have matured by 2026-03-04; "
        f"the clock says {jumped:%Y-%m-%d}, which no predictions bear out yet"
    )
    assert back.state is JobState.PROMOTED


def test_a_job_is_looked_at_again_when_a_clock_that_was_ahead_is_right(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    alert(bench)
    stepped(bench.at(CHANGED + 10 * DAY))

    assert stepped(bench.at(CHANGED + DAY)).note == "waits for outcomes: 0 of 300 since the change have matured"


def test_a_model_that_is_asked_once_a_month_is_retrained(bench: Bench) -> None:
    months = [
        world_of_moods(
            toy_rows(600, seed=month, begin=CHANGED + 30 * month * DAY, every=timedelta(minutes=1), first=1000 * month),
            seed=month,
        )
        for month in range(4)
    ]
    record(bench.store, [row for month in months for row in month])
    spec = replace(
        SPEC,
        retraining=replace(SPEC.retraining, patience=120 * DAY),
        gate=replace(SPEC.gate, changed_answers_at_most=1.0),
    )
    alert(bench, spec=spec)

    early = stepped(bench.at(CHANGED + 61 * DAY), spec=spec)
    late = stepped(bench.at(CHANGED + 95 * DAY), spec=spec)

    assert early.state is JobState.WAITING
    assert late.state is JobState.PROMOTED


def test_a_model_that_is_asked_no_more_has_its_job_closed(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    alert(bench)

    assert stepped(bench.at(CHANGED + 20 * DAY)).state is JobState.WAITING
    assert stepped(bench.at(CHANGED + 22 * DAY)).note.startswith("gave up: 0 of 300 since the change have matured by")


def test_training_that_raises_fails_its_job_and_the_next_alert_may_open_another(bench: Bench) -> None:
    spec = toy_spec(train=explode, retraining=SPEC.retraining, gate=SPEC.gate)
    record(bench.store, world_after(1200))
    alert(bench, spec=spec)

    failed = stepped(later(bench, 6), spec=spec)
    bench.at(CHANGED + 10 * DAY)
    (receipt,) = intake(drift_payload(CHANGED), store=bench.store, specs={"toy": SPEC}, now=bench.moment[0])

    assert (failed.state, failed.note) == (JobState.FAILED, "RuntimeError: out of matter")
    assert receipt.result == "accepted"


def test_a_job_that_ran_when_its_process_died_starts_again(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    job = alert(bench)
    bench.store.update_job(job.id, state=JobState.RUNNING, note="trains")

    resume(SPEC, bench.restarted())

    assert bench.store.jobs("toy", limit=1)[0].state is JobState.WAITING
    assert stepped(later(bench, 6)).state is JobState.PROMOTED


def test_a_process_that_was_replaced_while_it_trained_registers_nothing(bench: Bench) -> None:
    record(bench.store, world_after(1200))
    job = alert(bench)
    later(bench, 6)
    lease = bench.store.acquire("lifecycle/toy", holder="one", lasts=timedelta(0))
    assert lease is not None

    def train_while_another_takes_over(training: TrainingSet) -> Any:
        assert bench.store.acquire("lifecycle/toy", holder="two", lasts=DAY)
        return SPEC.train(training)

    asleep = replace(bench.workshop, store=bench.store.fenced(lease))
    with pytest.raises(LeaseLost):
        step(replace(SPEC, train=train_while_another_takes_over), asleep)

    assert bench.workshop.models.versions("toy") == ["v1"]
    assert bench.store.aliases("toy") == {CHAMPION: "v1"}
    assert bench.store.jobs("toy", limit=1) == [
        msgspec.structs.replace(job, state=JobState.RUNNING, note="trains and is judged")
    ]


def test_a_job_that_a_person_asked_for_waits_for_no_outcomes(bench: Bench) -> None:
    record(bench.store, toy_rows(100, seed=5, begin=NOON - 30 * DAY, every=timedelta(minutes=2)))
    bench.store.open_job(
        model="toy",
        trigger=BY_HAND,
        dedupe_key="once",
        since=NOON - 60 * DAY,
        opened_at=NOON,
        note="asked for by hand",
    )

    refused = stepped(bench)

    assert refused.state is JobState.REFUSED
    assert "waits" not in refused.note


def test_the_workers_file_is_kept_as_the_store_says(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "aliases" / "toy.json").unlink()

    follow(SPEC, bench.workshop)

    assert bench.workshop.fleet.published("toy") == {CHAMPION: "v1"}
    assert "has been written again" in bench.said[-1]


def explode(_: TrainingSet) -> Any:
    raise RuntimeError("out of matter")


def unusable(row: Judged, name: str) -> Judged:
    features = row.prediction.features | {name: FeatureVerdict(Status.INVALID)}
    return msgspec.structs.replace(row, prediction=msgspec.structs.replace(row.prediction, features=features))
