"""How a version is trained."""

from typing import Any, Final

from services.core.spec import Categorical
from services.core.training import TrainingSet
from services.models.listing_scam.features import FEATURES, INTERACTIONS, KEPT_FROM_THE_MODEL

INPUTS: Final = [each for each in FEATURES if each.name not in KEPT_FROM_THE_MODEL]
NUMBERS: Final = [each.name for each in INPUTS if not isinstance(each.kind, Categorical) and each.name != INTERACTIONS]
CATEGORIES: Final = {each.name: list(each.kind.categories) for each in INPUTS if isinstance(each.kind, Categorical)}
NOT_KNOWN_YET: Final = -1.0
"""Stands for a gap inside the model. No count is negative, so a tree can tell it from every count, zero included."""


def train(training: TrainingSet) -> Any:
    """Fit boosted trees, weighted, on the inputs that the model may use.

    Trees, because a split can take the listings without a count apart, and what is learnt about counts then leaves them
    alone: no likely count is made up for them, as a mean or a median would. The gap is a number of its own, since
    scikit-learn's trees fail on a column that has nothing but gaps, and such are the rows of an application that never
    asks twice. The trees are few and small: after a change of the world there are some hundred rows, and those that
    were kept from moderators weigh several times as much as the rest.

    Rows that weigh nothing are left out before fitting: where trees may split depends on every row that they see,
    whatever it weighs.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = ColumnTransformer(
        [
            ("numbers", "passthrough", NUMBERS),
            (
                "count",
                SimpleImputer(strategy="constant", fill_value=NOT_KNOWN_YET, keep_empty_features=True),
                [INTERACTIONS],
            ),
            ("categories", OneHotEncoder(categories=list(CATEGORIES.values()), sparse_output=False), list(CATEGORIES)),
        ]
    )
    trees = HistGradientBoostingClassifier(
        max_iter=70,
        learning_rate=0.08,
        max_leaf_nodes=6,
        min_samples_leaf=20,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=0,
    )
    counted = training.weights > 0
    return Pipeline([("columns", columns), ("classifier", trees)]).fit(
        training.features[counted], training.target[counted], classifier__sample_weight=training.weights[counted]
    )
