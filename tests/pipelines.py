"""Pipelines of scikit-learn as teams write them, and rows shaped like the Telco file to fit them on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from services.core.spec import Categorical, Feature, ModelSpec, Numeric, Unavailable
from services.models.churn.spec import SPEC

GAPS: Final = ("total_charges", "monthly_charges", "payment_method")
"""Features that a caller may leave out, where a pipeline takes gaps."""

GAPPED: Final = replace(
    SPEC,
    features=tuple(
        replace(each, if_unavailable=Unavailable.OPTIONAL) if each.name in GAPS else each for each in SPEC.features
    ),
)
NUMBERS: Final = [each.name for each in SPEC.features if isinstance(each.kind, Numeric)]
WORDS: Final = [each.name for each in SPEC.features if isinstance(each.kind, Categorical)]
CATEGORIES: Final = [list(each.kind.categories) for each in SPEC.features if isinstance(each.kind, Categorical)]

RARE: Final = "mailed check"
"""A declared category that the generated rows do not hold."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How to make a pipeline; whether its rows have gaps."""

    make: Callable[[], Any]
    gaps: bool = False

    @property
    def spec(self) -> ModelSpec:
        return GAPPED if self.gaps else SPEC


def columns(numbers: Any, words: Any) -> ColumnTransformer:
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("words", words, WORDS)])


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(**({"handle_unknown": "ignore", "sparse_output": False} | options))


def codes(**options: Any) -> OrdinalEncoder:
    return OrdinalEncoder(**({"handle_unknown": "use_encoded_value", "unknown_value": -1} | options))


def filled(strategy: str = "median", **options: Any) -> Pipeline:
    return make_pipeline(SimpleImputer(strategy=strategy, **options), StandardScaler())


def filled_words(encoder: Any) -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=""), encoder)


def line() -> LogisticRegression:
    return LogisticRegression(C=0.3, max_iter=3000)


def forest(trees: int = 20) -> RandomForestClassifier:
    return RandomForestClassifier(trees, min_samples_leaf=3, random_state=0)


def boosting(**options: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**({"max_iter": 30, "random_state": 0} | options))


CLASSIFIERS: Final[dict[str, Callable[[], Any]]] = {
    "LogisticRegression": line,
    "SGD log loss": lambda: SGDClassifier(loss="log_loss", random_state=0),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis,
    "DecisionTree": lambda: DecisionTreeClassifier(min_samples_leaf=5, random_state=0),
    "RandomForest": forest,
    "ExtraTrees": lambda: ExtraTreesClassifier(20, min_samples_leaf=3, random_state=0),
    "GradientBoosting": lambda: GradientBoostingClassifier(n_estimators=30, random_state=0),
    "GradientBoosting, exponential loss": lambda: GradientBoostingClassifier(
        loss="exponential", n_estimators=30, random_state=0
    ),
    "HistGradientBoosting": boosting,
    "AdaBoost": lambda: AdaBoostClassifier(n_estimators=20, random_state=0),
    "Bagging": lambda: BaggingClassifier(
        DecisionTreeClassifier(min_samples_leaf=5), 10, max_features=0.7, random_state=0
    ),
    "GaussianNB": GaussianNB,
    "MLP": lambda: MLPClassifier((16,), max_iter=200, random_state=0),
    "KNeighbors": lambda: KNeighborsClassifier(15),
    "SVC, probability": lambda: SVC(probability=True, random_state=0),
    "Stacking": lambda: StackingClassifier([("forest", forest(10)), ("line", line())], line(), cv=3),
    "Stacking, passthrough, boosting on top": lambda: StackingClassifier(
        [("line", line()), ("trees", boosting(max_iter=10))], boosting(max_iter=10), cv=3, passthrough=True
    ),
    "Voting, soft": lambda: VotingClassifier(
        [("line", line()), ("forest", forest(10)), ("nb", GaussianNB())], voting="soft", weights=[3, 2, 1]
    ),
    "Calibrated, sigmoid, RandomForest": lambda: CalibratedClassifierCV(forest(10), method="sigmoid", cv=3),
    "Calibrated, isotonic, RandomForest": lambda: CalibratedClassifierCV(forest(10), method="isotonic", cv=3),
    "Calibrated, isotonic, HistGradientBoosting": lambda: CalibratedClassifierCV(
        boosting(max_iter=10), method="isotonic", cv=3
    ),
    "Calibrated, isotonic, LogisticRegression": lambda: CalibratedClassifierCV(line(), method="isotonic", cv=3),
    "Calibrated, temperature, LogisticRegression": lambda: CalibratedClassifierCV(line(), method="temperature", cv=2),
    "Calibrated, temperature, RandomForest": lambda: CalibratedClassifierCV(forest(10), method="temperature", cv=2),
    "Calibrated, sigmoid, LinearSVC": lambda: CalibratedClassifierCV(LinearSVC(), method="sigmoid", cv=3),
    "Calibrated, sigmoid, SVC": lambda: CalibratedClassifierCV(SVC(), method="sigmoid", cv=3),
    "GridSearch, RandomForest": lambda: GridSearchCV(forest(10), {"max_depth": [4, 8]}, cv=2),
}

SCALERS: Final[dict[str, Callable[[], Any]]] = {
    "MinMaxScaler": MinMaxScaler,
    "MaxAbsScaler": MaxAbsScaler,
    "RobustScaler": RobustScaler,
    "KBinsDiscretizer": lambda: KBinsDiscretizer(6, quantile_method="averaged_inverted_cdf"),
    "PolynomialFeatures": lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2)),
    "log1p": lambda: make_pipeline(FunctionTransformer(np.log1p), StandardScaler()),
    "PowerTransformer": PowerTransformer,
    "QuantileTransformer": lambda: QuantileTransformer(n_quantiles=100),
}

ENCODERS: Final[dict[str, Callable[[], Any]]] = {
    "OneHot, of the spec": lambda: OneHotEncoder(categories=CATEGORIES),
    "OneHot, ignore, sparse": lambda: OneHotEncoder(handle_unknown="ignore"),
    "OneHot, infrequent": lambda: one_hot(min_frequency=0.02, handle_unknown="infrequent_if_exist"),
    "OneHot, at most 2 categories": lambda: one_hot(max_categories=2, handle_unknown="infrequent_if_exist"),
    "OneHot, first dropped": lambda: one_hot(drop="first"),
    "OneHot, one of two dropped": lambda: one_hot(drop="if_binary"),
    "Ordinal, unknown is -1": codes,
    "Ordinal, unknown is NaN": lambda: codes(unknown_value=np.nan),
    "Ordinal, infrequent": lambda: codes(min_frequency=0.2),
    "TargetEncoder": lambda: TargetEncoder(random_state=0),
}


def _kinds() -> Iterator[tuple[str, Kind]]:
    for name, classifier in CLASSIFIERS.items():
        yield f"StandardScaler + OneHot + {name}", _of(StandardScaler, one_hot, classifier)
        yield f"OneHot + {name}", _of(lambda: "passthrough", one_hot, classifier)
    for name, scaler in SCALERS.items():
        yield f"{name} + OneHot + LogisticRegression", _of(scaler, one_hot, line)
        yield f"{name} + OneHot + RandomForest", _of(scaler, one_hot, forest)
    for name, encoder in ENCODERS.items():
        if "NaN" not in name:
            yield f"StandardScaler + {name} + LogisticRegression", _of(StandardScaler, encoder, line)
        yield f"StandardScaler + {name} + HistGradientBoosting", _of(StandardScaler, encoder, boosting)
    yield "Ordinal + HistGradientBoosting on categories", _of(lambda: "passthrough", codes, _on_categories)
    yield (
        "scaler over everything + RandomForest",
        Kind(lambda: make_pipeline(columns("passthrough", one_hot()), StandardScaler(), forest())),
    )
    yield (
        "quantiles of everything + HistGradientBoosting",
        Kind(lambda: make_pipeline(columns("passthrough", one_hot()), SCALERS["QuantileTransformer"](), boosting())),
    )
    yield "PCA + LogisticRegression", Kind(lambda: make_pipeline(columns(StandardScaler(), one_hot()), PCA(10), line()))
    yield (
        "products of three numbers + OneHot + RandomForest",
        _of(lambda: make_pipeline(MinMaxScaler(), PolynomialFeatures(3, interaction_only=True)), one_hot, forest),
    )
    yield "Normalizer + OneHot + RandomForest", _of(lambda: Normalizer("max"), one_hot, forest)
    yield (
        "SelectKBest + RandomForest",
        Kind(lambda: make_pipeline(columns(StandardScaler(), one_hot()), SelectKBest(k=10), forest())),
    )
    yield (
        "calibrated pipeline, isotonic",
        Kind(
            lambda: CalibratedClassifierCV(
                make_pipeline(columns(StandardScaler(), one_hot()), forest(10)), method="isotonic", cv=2
            )
        ),
    )
    yield (
        "sparse OneHot + calibrated SVC",
        Kind(
            lambda: make_pipeline(
                ColumnTransformer([("words", OneHotEncoder(handle_unknown="ignore"), WORDS)], sparse_threshold=1.0),
                CalibratedClassifierCV(SVC(), method="sigmoid", cv=2),
            )
        ),
    )
    yield (
        "imputer over everything + RandomForest",
        Kind(
            lambda: make_pipeline(columns("passthrough", one_hot()), SimpleImputer(add_indicator=True), forest()),
            gaps=True,
        ),
    )
    yield "OneHot of numbers + RandomForest", _of(one_hot, one_hot, forest)
    yield "Ordinal of numbers + LogisticRegression", _of(codes, one_hot, line)
    yield from _with_gaps()


def _with_gaps() -> Iterator[tuple[str, Kind]]:
    for name, numbers in {
        "median": filled,
        "median and indicator": lambda: filled(add_indicator=True),
        "constant": lambda: filled("constant", fill_value=-1.0),
    }.items():
        for what, classifier in {"LogisticRegression": line, "RandomForest": forest}.items():
            yield (
                f"imputer ({name}) + OneHot + {what}",
                _of(numbers, lambda: filled_words(one_hot()), classifier, gaps=True),
            )
    yield "gaps + OneHot + HistGradientBoosting", _of(lambda: "passthrough", one_hot, boosting, gaps=True)
    yield "StandardScaler + gaps + HistGradientBoosting", _of(StandardScaler, one_hot, boosting, gaps=True)
    yield "StandardScaler + gaps + RandomForest", _of(StandardScaler, one_hot, forest, gaps=True)
    yield (
        "gaps + Ordinal + HistGradientBoosting on categories",
        _of(lambda: "passthrough", codes, _on_categories, gaps=True),
    )
    yield (
        "imputer + TargetEncoder + GradientBoosting",
        _of(filled, lambda: filled_words(TargetEncoder(random_state=0)), CLASSIFIERS["GradientBoosting"], gaps=True),
    )


def _on_categories() -> Any:
    return boosting(categorical_features=list(range(len(NUMBERS), len(NUMBERS) + len(WORDS))))


def _of(
    numbers: Callable[[], Any], words: Callable[[], Any], classifier: Callable[[], Any], *, gaps: bool = False
) -> Kind:
    return Kind(lambda: make_pipeline(columns(numbers(), words()), classifier()), gaps)


KINDS: Final[dict[str, Kind]] = dict(_kinds())


@cache
def rows_of(*, gaps: bool, number: int = 500) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Customers whose leaving hangs on a few features; without the rare category, and with gaps where they may be."""
    chance = np.random.default_rng(7)
    made = {each.name: _drawn(each, chance, number) for each in SPEC.features}
    made["total_charges"] = np.round(made["tenure_months"] * made["monthly_charges"], 2)
    risk = (made["contract"] == "month-to-month") * 1.5 - made["tenure_months"] / 30 + made["monthly_charges"] / 60 - 1
    target = (chance.random(number) < 1 / (1 + np.exp(-risk))).astype(int)
    if gaps:
        for name in GAPS:
            made[name] = np.where(chance.random(number) < 0.15, _gap(name), made[name])
    return pd.DataFrame(made), target


def _drawn(feature: Feature, chance: np.random.Generator, number: int) -> NDArray[Any]:
    if isinstance(feature.kind, Categorical):
        words = np.array([each for each in feature.kind.categories if each != RARE], dtype=object)
        shares = 1.0 / np.arange(1, len(words) + 1) ** 2
        return words[chance.choice(len(words), number, p=shares / shares.sum())]
    if feature.name == "tenure_months":
        return chance.integers(0, 73, number).astype(float)
    return np.round(chance.uniform(18.0, 119.0, number), 2)


def _gap(name: str) -> Any:
    return "" if name in WORDS else np.nan
