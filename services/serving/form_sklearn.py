"""The kept estimator, served by scikit-learn itself where it has no ONNX form: milliseconds a row.

Importing this module loads pandas, scikit-learn and skops, so a worker imports it with the first version that needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import skops.io
import skops.io.exceptions
from threadpoolctl import ThreadpoolController

from services.core.artifacts import ESTIMATOR_FILE
from services.core.spec import ModelSpec, Numeric
from services.serving.form import Row, Unloadable, cell, probability

TRUSTED: Final = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
"""What a kept estimator may hold besides the public classes of scikit-learn and NumPy, which skops takes by itself.

The list is closed: it is never what a file asks for. A type belongs on it when building one and setting its attributes
runs nothing that the file chose. A dtype, a bunch and the two parts of a calibrated classifier only hold values.
A gradient boosting on categories checks its numbers with a partial of `check_array`, which looks at an array and
returns it; what else a partial might call has to be listed as well. The two trees are arrays that compiled code walks
through without looking at bounds: a forged one can crash a worker, which is why hashes are compared first, and still
cannot bring code of its own. Other functions, and classes from outside scikit-learn, do not belong here.
"""


@dataclass(frozen=True, slots=True)
class SklearnForm:
    """See `Form`."""

    estimator: Any
    columns: tuple[tuple[str, bool], ...]
    """(feature, is it numeric), in the order of the spec."""
    threads: ThreadpoolController

    def score(self, values: Row) -> float:
        return self.score_many([values])[0]

    def score_many(self, rows: Sequence[Row]) -> list[float]:
        if not rows:
            return []
        # The workers share the cores. A gradient boosting that wakes a thread per core for one row waits for them
        # longer than it computes: up to a second, where the other threads of OpenMP are not scheduled at once.
        with self.threads.limit(limits=1, user_api="openmp"):
            probabilities = self.estimator.predict_proba(self._frame(rows))
        return [probability(score) for score in probabilities[:, 1]]

    def _frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """The rows as training has them. Column by column: giving a frame its types later costs ten times as much."""
        return pd.DataFrame(
            {
                name: np.array([cell(row, name, numeric) for row in rows], dtype=float if numeric else object)
                for name, numeric in self.columns
            }
        )


def open_sklearn(spec: ModelSpec, content: bytes) -> SklearnForm:
    """Load without pickle. Raises `Unloadable`."""
    estimator = _estimator(content)
    if not hasattr(estimator, "predict_proba"):
        kind = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        raise Unloadable(f"{ESTIMATOR_FILE} holds a {kind}, expected a classifier with predict_proba")
    return SklearnForm(
        estimator=estimator,
        columns=tuple((feature.name, isinstance(feature.kind, Numeric)) for feature in spec.features),
        # Sees the thread pools that are loaded by now, which are those of the estimator.
        threads=ThreadpoolController(),
    )


def _estimator(content: bytes) -> Any:
    """skops raises whatever a file makes it meet: bad archives, absent keys, types that are gone."""
    try:
        strange = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))
    except Exception as error:
        raise Unloadable(f"{ESTIMATOR_FILE} is no estimator that skops loads: {error}") from error
    if strange:
        raise Unloadable(
            f"{ESTIMATOR_FILE} holds {', '.join(strange)}, which TRUSTED in services/serving/form_sklearn.py does not "
            "list; train an estimator made of scikit-learn's own parts, or argue there why loading the type is safe"
        )
    try:
        return skops.io.loads(content, trusted=TRUSTED)
    except Exception as error:
        raise Unloadable(f"{ESTIMATOR_FILE} is no estimator that skops loads: {error}") from error
