"""The overview page: what it shows, and that nothing recorded gets out of its place."""

import html.parser
import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from monitoring.entrypoints.charts import Chart, Marker, Point, Span, marker_strip, nice_ticks
from monitoring.entrypoints.overview import Overview, as_json, by_traffic
from monitoring.entrypoints.page import PAGE_POLICY, Drawn, page
from monitoring.entrypoints.wording import present, unasked
from monitoring.evaluation.standing import DOUBTS
from services.core.records import CHAMPION, EvaluationResult, JobState, ResultKind, ResultStatus, VersionRecord
from tests.fake_run import FakeRun, fake_run
from tests.fakes import StoreInMemory
from tests.toy import NOON

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def waiting() -> FakeRun:
    return fake_run(days=30)


@pytest.fixture(scope="module")
def beginning() -> FakeRun:
    return fake_run(days=1)


def test_the_page_is_well_formed_and_loads_and_runs_nothing(waiting: FakeRun) -> None:
    found = _Tags()
    found.feed(waiting.page())
    assert found.unclosed == []
    assert "script" not in found.seen
    assert not [value for name, value in found.attributes if name == "src" or name.startswith("on") or name == "style"]
    assert all(value.startswith("/") for name, value in found.attributes if name == "href")


def test_the_policy_allows_the_style_sheet_by_its_hash_and_nothing_else(waiting: FakeRun) -> None:
    assert "default-src 'none'" in PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert waiting.page().count("<style>") == 1


def test_what_has_not_changed_is_not_drawn_again_and_what_has_is(waiting: FakeRun) -> None:
    drawn, asked = Drawn(), CountingStore(waiting.store)
    state = waiting.state

    first = page([state], store=asked.port, drawn=drawn)
    read = asked.asked
    later = replace(
        state,
        now=state.now + timedelta(seconds=20),
        wall_now=state.wall_now + timedelta(seconds=20),
        workers=[msgspec.structs.replace(each, at=each.at + timedelta(seconds=20)) for each in state.workers],
    )
    assert page([later], store=asked.port, drawn=drawn) == first
    fewer = page([replace(state, workers=state.workers[:1])], store=asked.port, drawn=drawn)
    assert "1 worker " in fewer
    assert asked.asked == read > 0

    page([replace(state, results=state.results[:-1])], store=asked.port, drawn=drawn)
    assert asked.asked == 2 * read


class CountingStore(StoreInMemory):
    """Tells how often stored results were asked for."""

    def __init__(self, store: StoreInMemory) -> None:
        super().__init__()
        self.saved = store.saved
        self.asked = 0

    def results(
        self, model: str, kind: ResultKind, *, limit: int, until: datetime | None = None
    ) -> list[EvaluationResult]:
        self.asked += 1
        return super().results(model, kind, limit=limit, until=until)


def test_an_open_job_and_its_reason_are_told_in_plain_words(waiting: FakeRun) -> None:
    told = present(waiting.state)
    assert told.style == "watch"
    assert told.text == (
        "A change that began about 25 March was found on 28 March. Retraining waits. "
        "612 of 1,000 outcomes since the change have matured; the rest are due by 11 April."
    )


def test_the_page_marks_when_drift_was_found_and_in_what(waiting: FakeRun) -> None:
    assert ">drift found: amount" in waiting.page()


def test_outcomes_that_cannot_be_true_are_told_before_anything_that_rests_on_them() -> None:
    state = fake_run(days=22).state
    reason = "outcomes look inverted since 2026-03-10 14:00 UTC: champion's AUC 0.163"
    doubted = [
        msgspec.structs.replace(
            result, body=result.body | {DOUBTS: [{"kind": "inverted", "since": NOON.isoformat(), "reason": reason}]}
        )
        for result in state.results
    ]

    told = present(replace(state, results=doubted))

    assert present(state).style == "well"
    assert told.style == "watch"
    assert told.text.startswith(f"Outcomes{reason.removeprefix('outcomes')}. Performance and money below rest on them;")


def test_a_version_that_waits_for_a_person_is_told_with_the_command(waiting: FakeRun) -> None:
    job = msgspec.structs.replace(
        waiting.state.jobs[0],
        state=JobState.AWAITS_APPROVAL,
        closed_at=waiting.state.now,
        note="v2 waits for a person: … to let it serve: bellwether promote toy v2",
    )
    state = replace(waiting.state, jobs=[job])

    assert "v2 waits for a person" in present(state).text
    assert "bellwether promote toy v2" in present(state).text
    assert as_json(state)["awaiting_approval"]["state"] == "awaits_approval"


def test_before_anything_is_known_the_page_says_so(beginning: FakeRun) -> None:
    told = present(beginning.state)
    assert (told.style, told.text.startswith("Whether the inputs have drifted is not known")) == ("unknown", True)
    assert ">–</b>" in beginning.page()


def test_a_monitor_that_has_judged_nothing_shows_a_page(beginning: FakeRun) -> None:
    state = replace(beginning.state, results=[], aliases={}, changes=[], jobs=[])
    shown = page([state], store=StoreInMemory().port)
    assert "No version has been promoted yet; the rule answers." in shown
    assert "not judged yet" in shown


def test_a_model_that_nobody_asked_is_one_line_below_those_that_are_asked(waiting: FakeRun) -> None:
    idle, promoted = _unasked(waiting, "apple"), _unasked(waiting, "berry", aliases={CHAMPION: "v3"})

    shown = page([idle, promoted, waiting.state], store=waiting.store.port)

    assert shown.index("<h1>toy") < shown.index("<td>apple") < shown.index("<td>berry")
    assert shown.count("<h1>") == 1
    assert "<td>apple<td>nobody has asked yet; no version is promoted, so the rule would answer</tr>" in shown
    assert "<td>berry<td>nobody has asked yet; v3 would answer</tr>" in shown


def test_the_models_that_are_asked_now_come_before_those_that_once_were(waiting: FakeRun) -> None:
    silent = [
        msgspec.structs.replace(each, n=0) if each.kind is ResultKind.AVAILABILITY else each
        for each in waiting.state.results
    ]
    once = replace(waiting.state, results=silent, spec=replace(waiting.state.spec, name="apple"))

    assert by_traffic([_unasked(waiting, "a"), once, waiting.state])[:2] == [waiting.state, once]


def test_outcomes_that_went_astray_are_told_of_a_model_that_nobody_asked(waiting: FakeRun) -> None:
    state = _unasked(waiting, "apple")
    astray = replace(state, counts=msgspec.structs.replace(state.counts, outcomes=3, orphan_outcomes=3))

    assert unasked(astray).endswith("; 3 outcomes name none of its predictions")


def test_dead_letters_belong_to_no_model_and_are_told_once(waiting: FakeRun) -> None:
    counts = msgspec.structs.replace(waiting.state.counts, dead_letters=7)
    state = replace(waiting.state, counts=counts)

    assert page([state, state], store=waiting.store.port).count("7 dead letters") == 1


def test_an_outage_is_blamed_on_a_feature_that_the_model_cannot_do_without(waiting: FakeRun) -> None:
    """`mood` is imputed when it is missing, so its gaps keep the model from nothing."""
    shares = {"amount": {"ok": 1.0}, "visits": {"ok": 0.7}, "mood": {"ok": 0.1}, "plan": {}}
    told = _outage(waiting, features=shares)
    assert told.startswith("The model gave 40% of the newest answers, objective 95%; visits was unusable in 30%. ")


def test_an_outage_without_an_unusable_feature_is_blamed_on_none(waiting: FakeRun) -> None:
    told = _outage(waiting, features={"visits": {"ok": 1.0}, "mood": {"ok": 0.1}})
    assert told.startswith("The model gave 40% of the newest answers, objective 95%. ")


def test_an_outage_is_named_before_anything_else(waiting: FakeRun) -> None:
    told = _outage(waiting)
    assert told.startswith("The model gave 40% of the newest answers, objective 95%; visits was unusable in")


def test_drift_without_an_open_job_says_how_the_last_retraining_ended(waiting: FakeRun) -> None:
    (job,) = waiting.state.jobs
    refused = msgspec.structs.replace(job, state=type(job.state).REFUSED, note="AUC 0.71, champion 0.74, margin 0.01")
    told = present(replace(waiting.state, jobs=[refused]))
    assert "the inputs differ from training: amount" in told.text
    assert told.text.endswith("The last retraining was refused: AUC 0.71, champion 0.74, margin 0.01.")


def test_a_champion_that_scikit_learn_serves_is_named_with_the_reason(waiting: FakeRun) -> None:
    assert "scikit-learn" not in waiting.page()
    state = replace(waiting.state, versions=[registered("v1", not_converted="it splits on sets of categories")])
    shown = page([state], store=waiting.store.port)
    assert "because ONNX cannot: it splits on sets of categories." in shown
    assert as_json(state)["not_converted"] == "it splits on sets of categories"


def test_whatever_was_recorded_is_escaped(waiting: FakeRun) -> None:
    evil = "<script>alert(1)</script>"
    (job,) = waiting.state.jobs
    state = replace(
        waiting.state,
        jobs=[msgspec.structs.replace(job, note=evil)],
        aliases={CHAMPION: evil},
        versions=[registered(evil, not_converted=evil)],
        changes=[msgspec.structs.replace(each, version=evil) for each in waiting.state.changes],
        results=[
            msgspec.structs.replace(result, version=evil, status=ResultStatus.FAILED, body={"reason": evil})
            for result in waiting.state.results
        ],
    )
    shown = page([state], store=waiting.store.port)
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_the_state_is_told_as_json_with_the_ages_of_each_judgement(waiting: FakeRun) -> None:
    told = as_json(replace(waiting.state, wall_now=waiting.state.wall_now + timedelta(seconds=90)))
    assert told["champion"] == "v1"
    assert "amount" in told["drift"]["confirmed_features"]
    assert told["performance"]["v1"]["auc"]["value"] > 0.7
    assert told["jobs"][0]["state"] == "waiting"
    assert told["age_seconds"] == dict.fromkeys(("availability", "drift", "performance", "business"), 90.0)


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0.5, 0.9, 4, [0.5, 0.6, 0.7, 0.8, 0.9]),
        (0, 4.9, 3, [0, 2, 4, 6]),
        (-3, 12, 4, [-5, 0, 5, 10, 15]),
        (7, 7, 4, None),
    ],
)
def test_ticks_are_round_numbers_around_the_values(
    low: float, high: float, count: int, ticks: list[float] | None
) -> None:
    found = nice_ticks(low, high, count)
    assert found[0] <= low <= high <= found[-1]
    assert ticks is None or found == ticks


def test_dates_below_a_chart_are_midnights_and_few() -> None:
    for days in (1, 3, 20, 60, 400, 4000):
        ticks = Span(NOON, NOON + days * DAY).ticks(at_most=5)
        assert 1 <= len(ticks) <= (5 if days <= 400 else 12)
        assert all(tick.hour == 0 and NOON <= tick <= NOON + days * DAY for tick in ticks)


def test_labels_at_the_same_height_do_not_overlap_and_stay_inside() -> None:
    chart = Chart("x", Span(NOON, NOON + DAY), 0, 1)
    for i in range(5):
        chart.label(0.0, f"label {i}", "model")
    heights = sorted(float(y) for y in re.findall(r'class="label model" x="[\d.]+" y="([\d.]+)"', chart.svg()))
    assert all(later - earlier >= 14 for earlier, later in pairwise(heights))
    assert heights[-1] <= chart.height


def test_events_at_the_same_time_get_rows_of_their_own_and_those_outside_get_none() -> None:
    span = Span(NOON, NOON + DAY)
    marks = [Marker(NOON, "one", "found"), Marker(NOON, "two", "found"), Marker(NOON - DAY, "before", "found")]
    heights = re.findall(r'<text class="event found" x="[\d.]+" y="(\d+)"', marker_strip(span, marks))
    assert heights == ["13", "31"]
    assert marker_strip(span, []) == ""


def test_a_line_of_one_point_is_a_dot() -> None:
    chart = Chart("x", Span(NOON, NOON + DAY), 0, 1)
    chart.line([Point(NOON, 0.5)], "version0")
    assert "<circle" in chart.svg()


def registered(version: str, **evidence: str) -> VersionRecord:
    return VersionRecord(
        model="toy",
        version=version,
        registered_at=NOON,
        training_set="toy.parquet",
        training_set_sha256="0" * 64,
        training_rows=400,
        evidence=dict(evidence),
    )


def _outage(run: FakeRun, **changes: object) -> str:
    """What is said when the model gave two answers in five; `changes` replaces parts of the availability."""
    body = {"served_by": {"model": 0.4, "rule": 0.6, "last_resort": 0.0}} | changes
    results = [
        msgspec.structs.replace(result, body=result.body | body) if result.kind is ResultKind.AVAILABILITY else result
        for result in run.state.results
    ]
    return present(replace(run.state, results=results)).text


def _unasked(run: FakeRun, name: str, aliases: dict[str, str] | None = None) -> Overview:
    """Another model's state, as it is before anybody asks."""
    spec, counts = replace(run.state.spec, name=name), StoreInMemory().counts(name)
    return replace(run.state, spec=spec, counts=counts, results=[], aliases=aliases or {}, changes=[], jobs=[])


class _Tags(html.parser.HTMLParser):
    """Collects what a page consists of. Table cells and rows close themselves."""

    OPEN_ENDED = frozenset({"meta", "br", "td", "th", "tr", "rect", "line", "circle", "polyline", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.unclosed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.OPEN_ENDED:
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.OPEN_ENDED:
            assert self.unclosed.pop() == tag
