import msgspec
import pytest

from monitoring.lifecycle.causes import broken_sources
from services.core.features import FeatureVerdict, Status
from services.core.records import Judged
from tests.toy import prediction
from tests.toy_traffic import toy_rows
from tests.workshop import SPEC

LIMIT = SPEC.drift.broken_share


def with_verdict(row: Judged, name: str, verdict: FeatureVerdict) -> Judged:
    features = row.prediction.features | {name: verdict}
    return msgspec.structs.replace(row, prediction=msgspec.structs.replace(row.prediction, features=features))


def rows_without(name: str, unusable: int, *, of: int, verdict: FeatureVerdict | None = None) -> list[Judged]:
    """`of` rows, in the first `unusable` of which the feature has this verdict (stale by default)."""
    verdict = verdict or FeatureVerdict(Status.STALE, 3.0)
    return [with_verdict(row, name, verdict) if i < unusable else row for i, row in enumerate(toy_rows(of))]


def test_a_feature_that_was_mostly_unusable_has_a_broken_source() -> None:
    assert broken_sources(SPEC, ["amount", "visits"], rows_without("visits", 10, of=20)) == (
        "visits was unusable in 50% of the answers, limit 20%: mend its source",
    )


@pytest.mark.parametrize("status", [each for each in Status if each not in (Status.OK, Status.TOO_EARLY)])
def test_a_value_that_should_have_been_there_is_held_against_its_source_whatever_was_wrong(status: Status) -> None:
    rows = rows_without("visits", 20, of=20, verdict=FeatureVerdict(status))

    assert len(broken_sources(SPEC, ["visits"], rows)) == 1


def test_a_value_that_could_not_be_known_yet_says_nothing_about_its_source() -> None:
    too_early = FeatureVerdict(Status.TOO_EARLY)
    stale = FeatureVerdict(Status.STALE)
    rows = rows_without("visits", 30, of=40, verdict=too_early)

    assert broken_sources(SPEC, ["visits"], rows) == ()
    assert broken_sources(SPEC, ["visits"], rows[:30]) == ()
    assert broken_sources(
        SPEC, ["visits"], [*rows[:37], *(with_verdict(row, "visits", stale) for row in rows[37:])]
    ) == ("visits was unusable in 30% of the answers, limit 20%: mend its source",)


def test_an_imputed_value_hides_no_broken_source() -> None:
    rows = rows_without("mood", 20, of=20, verdict=FeatureVerdict(Status.SOURCE_DOWN, imputed=0.0))

    assert broken_sources(SPEC, ["mood"], rows) == (
        "mood was unusable in 100% of the answers, limit 20%: mend its source",
    )


def test_a_source_is_broken_above_the_limit_and_not_at_it() -> None:
    at_the_limit = round(LIMIT * 100)

    assert broken_sources(SPEC, ["visits"], rows_without("visits", at_the_limit, of=100)) == ()
    assert len(broken_sources(SPEC, ["visits"], rows_without("visits", at_the_limit + 1, of=100))) == 1


def test_only_drifted_features_are_asked_about() -> None:
    assert broken_sources(SPEC, ["amount"], rows_without("visits", 20, of=20)) == ()


def test_every_broken_source_is_named_in_the_order_of_the_features() -> None:
    stale = FeatureVerdict(Status.STALE)
    rows = [with_verdict(row, "amount", stale) for row in rows_without("visits", 20, of=20)]

    said = broken_sources(SPEC, ["visits", "plan", "amount"], rows)

    assert [each.split()[0] for each in said] == ["visits", "amount"]


def test_a_world_that_changed_is_no_broken_source() -> None:
    assert broken_sources(SPEC, SPEC.feature_names, toy_rows(20, richer=3.0)) == ()


def test_answers_that_say_nothing_about_a_feature_are_not_held_against_its_source() -> None:
    assert broken_sources(SPEC, ["amount"], []) == ()
    assert broken_sources(SPEC, ["amount"], [Judged(prediction(features={}))]) == ()
    assert broken_sources(SPEC, ["a_feature_that_is_gone"], toy_rows(5)) == ()
