"""How a version is trained."""

from typing import Any, Final

from services.core.spec import Categorical
from services.core.training import TrainingSet
from services.models.loan_approval.features import FEATURES, KEPT_FROM_THE_MODEL

INPUTS: Final = [each for each in FEATURES if each.name not in KEPT_FROM_THE_MODEL]
NUMBERS: Final = [each.name for each in INPUTS if not isinstance(each.kind, Categorical)]
CATEGORIES: Final = {each.name: list(each.kind.categories) for each in INPUTS if isinstance(each.kind, Categorical)}

RISES: Final = {
    "credit_score": -1,
    "debt_to_income": 1,
    "missed_payments_24m": 1,
    "card_utilisation": 1,
    "overdrawn_days_90d": 1,
}
"""In which direction the risk may go as the number rises. Nobody can be refused for a better score or for less debt,
whatever chance did to the rows; the other numbers are free."""


def train(training: TrainingSet) -> Any:
    """Fit boosted trees, weighted, on the inputs that the model may use.

    Trees, because they take a missing credit score as it is: a gap goes to the side of a split on which such
    applicants were found to belong, and nothing has to be made up for them. Sixty small ones are enough for some
    thousand rows. Each category is a column of its own: trees could split on sets of them instead, which ranks no
    better by more than 0.01.

    Rows that weigh nothing are taken out first: the borders between which trees may split are chosen from all rows,
    whatever these weigh.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    one_per_category = OneHotEncoder(categories=list(CATEGORIES.values()), sparse_output=False)
    columns = ColumnTransformer(
        [("numbers", "passthrough", NUMBERS), ("categories", one_per_category, list(CATEGORIES))], remainder="drop"
    )
    trees = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.08,
        max_leaf_nodes=6,
        min_samples_leaf=25,
        l2_regularization=5.0,
        monotonic_cst=_directions(),
        early_stopping=False,
        random_state=0,
    )
    counted = training.weights > 0
    return Pipeline([("columns", columns), ("classifier", trees)]).fit(
        training.features[counted], training.target[counted], classifier__sample_weight=training.weights[counted]
    )


def _directions() -> list[int]:
    """-1, 0 or 1 for each column that the trees see: the numbers, then one per category."""
    return [RISES.get(name, 0) for name in NUMBERS] + [0] * sum(len(each) for each in CATEGORIES.values())
