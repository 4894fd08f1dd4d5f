"""How a version is trained."""

from typing import Any

from services.core.spec import Categorical
from services.core.training import TrainingSet
from services.models.churn.features import FEATURES

NUMBERS = [each.name for each in FEATURES if not isinstance(each.kind, Categorical)]
CATEGORIES = {each.name: list(each.kind.categories) for each in FEATURES if isinstance(each.kind, Categorical)}


def train(training: TrainingSet) -> Any:
    """Fit a logistic regression on scaled numbers, stages of the tenure, and one-hot categories, weighted.

    A linear model, because it needs few rows after a change of the world, and because its coefficients can be read.
    The categories are those of the spec, not those that the rows happen to hold, so a rare one cannot be missing from
    the served form. The risk falls steeply in the first months and hardly afterwards, which one slope cannot follow:
    hence the stages of the tenure.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), NUMBERS),
            (
                "stages",
                KBinsDiscretizer(8, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
                ["tenure_months"],
            ),
            ("categories", OneHotEncoder(categories=list(CATEGORIES.values())), list(CATEGORIES)),
        ]
    )
    # C = 0.3: the options of an invoice are nearly collinear with its sum, which small training sets overfit.
    estimator = Pipeline([("columns", columns), ("classifier", LogisticRegression(C=0.3, max_iter=2000))])
    return estimator.fit(training.features, training.target, classifier__sample_weight=training.weights)
