"""A packed graph is the same function as the one that was converted, gaps and unknown categories included."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from monitoring.lifecycle.conversion import to_onnx
from services.core.artifacts import POSITIVE, PROBABILITIES, ROW
from services.core.spec import Categorical, Source
from services.serving.form import Row
from services.serving.form_onnx import open_onnx
from services.serving.onnx_packing import GAP, pack
from tests.artifacts import training_set
from tests.toy import _feature, toy_spec

REGIONS = ("north", "south", "west")
SPEC = toy_spec(features=(*toy_spec().features, _feature("region", Categorical(REGIONS), Source.REQUEST)))
NUMBERS = ["amount", "visits", "mood"]
WORDS = ["plan", "region"]
TRAINING = training_set(1)
ROWS = TRAINING.features.assign(region=np.random.default_rng(5).choice(REGIONS, len(TRAINING.features)))

ENCODERS = {
    "one-hot, unknown refused": OneHotEncoder(),
    "one-hot, unknown ignored": OneHotEncoder(handle_unknown="ignore"),
    "one-hot of fewer categories": OneHotEncoder(categories=[["yearly"], ["west", "north"]], handle_unknown="ignore"),
    "one-hot of more categories": OneHotEncoder(categories=[["monthly", "yearly"], [*REGIONS, "moon"]]),
    "codes": OrdinalEncoder(),
}


def fitted(encoder: Any, *, boosted: bool = False) -> Any:
    """Numbers scaled and in stages, so that one of them is read twice."""
    columns = ColumnTransformer(
        [
            ("numbers", "passthrough" if boosted else StandardScaler(), NUMBERS),
            ("stages", KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf", encode="onehot-dense"), ["amount"]),
            ("words", encoder, WORDS),
        ],
        sparse_threshold=0,
    )
    classifier = HistGradientBoostingClassifier(max_iter=10) if boosted else LogisticRegression(max_iter=1000)
    return make_pipeline(columns, classifier).fit(ROWS, TRAINING.target)


def converted_scores(content: bytes, rows: pd.DataFrame) -> list[float]:
    """By the graph as it was converted, an input per feature."""
    feed = {
        each.name: rows[[each.name]].to_numpy(object if isinstance(each.kind, Categorical) else float)
        for each in SPEC.features
    }
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return list(session.run([PROBABILITIES], feed)[0][:, 1])


def rows_of(frame: pd.DataFrame) -> list[Row]:
    return frame.to_dict("records")  # type: ignore[return-value]  # pandas names columns by anything


@pytest.mark.parametrize("boosted", [False, True], ids=["linear", "boosted"])
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_a_packed_graph_scores_as_the_converted_one(encoder: Any, boosted: bool) -> None:
    content = to_onnx(SPEC, fitted(encoder, boosted=boosted))
    assert open_onnx(SPEC, content).score_many(rows_of(ROWS)) == pytest.approx(
        converted_scores(content, ROWS), abs=1e-12
    )


def test_a_gap_is_ignored_where_the_converted_graph_ignores_it() -> None:
    content = to_onnx(SPEC, fitted(ENCODERS["one-hot, unknown ignored"]))
    gaps = ROWS.head(20).assign(region=GAP, mood=1.0)
    without = [{name: value for name, value in row.items() if name != "region"} for row in rows_of(gaps)]
    assert open_onnx(SPEC, content).score_many(without) == pytest.approx(converted_scores(content, gaps), abs=1e-12)


@pytest.mark.parametrize("region", [GAP, "moon"])
def test_a_category_is_refused_where_the_estimator_refuses_it(region: str) -> None:
    content = to_onnx(SPEC, fitted(ENCODERS["one-hot, unknown refused"]))
    row = ROWS.head(1).assign(region=region)
    with pytest.raises(ArithmeticError, match=f"not trained for region: found '{region}'"):
        open_onnx(SPEC, content).score(rows_of(row)[0])


def test_one_comparison_stands_for_the_encoders_of_all_categories() -> None:
    content = to_onnx(SPEC, fitted(ENCODERS["one-hot, unknown refused"]))
    packed = pack(onnx.load_model_from_string(content), SPEC)
    assert operators(packed.model).count("Equal") == 2  # one for the words, one for the stages of the amount


def test_a_packed_graph_takes_the_row_and_gives_the_positive_class_alone() -> None:
    packed = pack(onnx.load_model_from_string(to_onnx(SPEC, fitted(OrdinalEncoder()))), SPEC)
    onnx.checker.check_model(packed.model)
    assert [each.name for each in packed.model.graph.input] == [ROW]
    assert [each.name for each in packed.model.graph.output] == [packed.output] == [POSITIVE]
    assert {"LabelEncoder", "ArgMax"}.isdisjoint(operators(packed.model))


def test_a_category_that_the_spec_declares_later_is_one_that_training_never_saw() -> None:
    later = toy_spec(
        features=(*SPEC.features[:-1], _feature("region", Categorical((*REGIONS, "east")), Source.REQUEST))
    )
    ignored, refused = (
        open_onnx(later, to_onnx(SPEC, fitted(ENCODERS[f"one-hot, unknown {what}"]))) for what in ("ignored", "refused")
    )
    (row,) = rows_of(ROWS.head(1).assign(region="east"))
    (gap,) = rows_of(ROWS.head(1).assign(region=GAP))
    assert ignored.score(row) == ignored.score(gap)
    with pytest.raises(ArithmeticError, match="not trained for region: found 'east', expected one of"):
        refused.score(row)


def test_ten_thousand_categories_are_scored_as_the_estimator_scores_them() -> None:
    words = tuple(f"shop {each}" for each in range(10_000))
    spec = toy_spec(features=(_feature("shop", Categorical(words), Source.REQUEST),), slices=())
    rows = pd.DataFrame({"shop": np.array(words, dtype=object)})
    estimator = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(rows, np.arange(len(words)) % 2)
    form = open_onnx(spec, to_onnx(spec, estimator))
    expected = list(estimator.predict_proba(rows.tail(20))[:, 1])
    assert form.score_many(rows_of(rows.tail(20))) == pytest.approx(expected, abs=1e-9)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]
