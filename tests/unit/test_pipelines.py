"""Every pipeline that scikit-learn itself can score is served, none with other answers, and nearly all of them by ONNX.

Where the promise is proved: rows with every category, gap, bound and threshold that a spec permits (`permitted_rows`),
and rows drawn anew from all that it permits.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from monitoring.lifecycle.domain import permitted_rows
from monitoring.lifecycle.packaging import serve
from monitoring.lifecycle.scoring import scores
from services.core.artifacts import ServedForm
from services.core.spec import Categorical, Feature, ModelSpec, Numeric, Unavailable
from tests.pipelines import KINDS, Kind, rows_of

BY_SCIKIT_LEARN: Final = {
    "StandardScaler + OneHot + KNeighbors": "equally far",
    "OneHot + KNeighbors": "equally far",
    "StandardScaler + OneHot + SVC, probability": "iterated",
    "OneHot + SVC, probability": "iterated",
    "log1p + OneHot + RandomForest": "its ONNX form differs",
    "PowerTransformer + OneHot + RandomForest": "its ONNX form differs",
    "Normalizer + OneHot + RandomForest": "its ONNX form differs",
}
"""Those that ONNX does not serve, and why. What differs in its last bit goes another way through a tree."""

ROUNDING: Final = 1e-9
IN_FLOAT32: Final = 1e-5
"""Of parts that are not written here, and which skl2onnx writes in float32."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The fits are small: threads would wait for each other longer than they compute."""
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS)
def test_a_pipeline_is_served_with_the_answers_of_scikit_learn(name: str, kind: Kind) -> None:
    rows, target = rows_of(gaps=kind.gaps, number=300)
    estimator = kind.make().fit(rows, target)
    served = serve(kind.spec, estimator, permitted_rows(kind.spec, estimator, rows))

    assert served.not_converted == "" if name not in BY_SCIKIT_LEARN else BY_SCIKIT_LEARN[name] in served.not_converted
    assert served.served_form is (ServedForm.SCIKIT_LEARN if name in BY_SCIKIT_LEARN else ServedForm.ONNX)
    allowed = IN_FLOAT32 if "PowerTransformer" in name else ROUNDING
    assert served.parity < allowed
    drawn = anything(kind.spec, 300)
    expected = estimator.predict_proba(drawn)[:, 1]
    np.testing.assert_allclose(scores(served.form, drawn), expected, rtol=0, atol=allowed)


def anything(spec: ModelSpec, number: int) -> pd.DataFrame:
    """Rows in which every value that the spec permits is as likely as any other."""
    chance = np.random.default_rng(11)
    return pd.DataFrame({each.name: _drawn(each, chance, number) for each in spec.features})


def _drawn(feature: Feature, chance: np.random.Generator, number: int) -> NDArray[Any]:
    optional = feature.if_unavailable is Unavailable.OPTIONAL
    if isinstance(feature.kind, Categorical):
        return chance.choice(np.array([*feature.kind.categories, *([""] if optional else [])], dtype=object), number)
    assert isinstance(feature.kind, Numeric)
    numbers = chance.uniform(feature.kind.low or 0.0, min(feature.kind.high or 1e3, 1e4), number)
    gaps = chance.random(number) < (0.2 if optional else 0.0)
    return np.where(gaps, np.nan, numbers)
