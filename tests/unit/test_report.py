"""The Evidently report."""

from dataclasses import replace

import pandas as pd

from monitoring.evaluation.drift import reference_of
from monitoring.evaluation.report import drift_report
from monitoring.evaluation.unknown import NotEnoughData
from services.core.features import FeatureVerdict, Status
from services.core.records import Judged
from services.core.spec import Categorical
from tests.toy import prediction, toy_spec
from tests.toy_traffic import toy_columns, toy_reference, toy_rows

EVIL = "</script><script>alert(1)</script>"


def test_the_report_shows_the_distances_that_were_judged() -> None:
    spec = toy_spec()
    html = drift_report(spec, reference=reference_of(spec, "v1", toy_reference()), rows=toy_rows(800, richer=1.0))
    assert isinstance(html, str)
    assert all(name in html for name in (*spec.feature_names, "monthly", "Wasserstein"))


def test_a_category_that_is_markup_cannot_leave_its_text() -> None:
    features = [
        replace(each, kind=Categorical(("monthly", EVIL))) if each.name == "plan" else each
        for each in toy_spec().features
    ]
    spec = toy_spec(features=tuple(features))
    frame = pd.DataFrame(toy_columns(1000, seed=1)).replace({"plan": {"yearly": EVIL}})
    rows = [
        Judged(prediction(score=row.pop("score"), features={n: FeatureVerdict(Status.OK, v) for n, v in row.items()}))
        for row in frame.to_dict("records")
    ]
    html = drift_report(spec, reference=reference_of(spec, "v1", frame), rows=rows)
    assert isinstance(html, str)
    assert EVIL not in html
    assert "<script>alert" not in html


def test_a_column_that_could_not_be_compared_is_left_out() -> None:
    spec = toy_spec()
    reference = reference_of(spec, "v1", toy_reference().drop(columns="visits"))
    html = drift_report(spec, reference=reference, rows=toy_rows(400))
    assert isinstance(html, str)
    assert "visits" not in html


def test_with_nothing_to_compare_there_is_no_report() -> None:
    spec = toy_spec()
    reference = reference_of(spec, "v1", toy_reference())
    assert isinstance(drift_report(spec, reference=reference, rows=[]), NotEnoughData)
