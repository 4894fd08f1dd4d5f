"""How the classifiers of scikit-learn become P(positive), float64 [n, 1], with its own operations in its own order."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV, _SigmoidCalibration, _TemperatureScaling
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
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
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from monitoring.lifecycle.conversion.columns import Column, Columns, NotConverted, dense
from monitoring.lifecycle.conversion.foreign import foreign_probability
from monitoring.lifecycle.conversion.graph import Graph
from monitoring.lifecycle.conversion.transformers import transformed
from monitoring.lifecycle.conversion.trees import Tree, boosted_sum, sum_of_float32, tree_of

Written = Callable[[Graph, Any, Columns], str]
"""(graph, fitted classifier, its columns) → the name of what it computes, float64 [n, 1]."""


def probability(graph: Graph, estimator: Any, columns: Columns) -> str:
    """Its P(positive). Raises `NotConverted`."""
    _require_two_classes(estimator)
    if not hasattr(estimator, "predict_proba"):
        raise NotConverted(f"{type(estimator).__name__} says no probabilities (predict_proba)")
    write = _PROBABILITIES.get(type(estimator))
    return foreign_probability(graph, estimator, columns) if write is None else write(graph, estimator, columns)


def decision(graph: Graph, estimator: Any, columns: Columns) -> str:
    """Its decision function, positive for the positive class. Raises `NotConverted`."""
    _require_two_classes(estimator)
    write = _DECISIONS.get(type(estimator))
    if write is None:
        raise NotConverted(f"the decision function of {type(estimator).__name__} is not known here")
    return write(graph, estimator, columns)


def _require_two_classes(estimator: Any) -> None:
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) != 2:
        raise NotConverted(f"{type(estimator).__name__} knows {len(classes)} classes, expected 2")


_TIES: Final = "which of two neighbours that are equally far counts is decided by the last bit of a sum"
_ITERATES: Final = "its probabilities are iterated until nearly right; CalibratedClassifierCV(SVC()) has an ONNX form"


def _not_written(why: str) -> Written:
    """Of a part that is never the same in another library's arithmetic, however often it happened to be."""

    def written(_graph: Graph, estimator: Any, _columns: Columns) -> str:
        raise NotConverted(f"{type(estimator).__name__}: {why}")

    return written


# What holds another estimator.


def _within(attribute: str, write: Written) -> Written:
    return lambda graph, estimator, columns: write(graph, getattr(estimator, attribute), columns)


def _behind(write: Written) -> Written:
    """A pipeline's last step, given what the steps before it make."""

    def written(graph: Graph, estimator: Any, columns: Columns) -> str:
        for _, step in estimator.steps[:-1]:
            columns = transformed(graph, step, columns)
        return write(graph, estimator.steps[-1][1], columns)

    return written


def _stacked(graph: Graph, estimator: Any, columns: Columns) -> list[Column]:
    made = [
        column
        for each, method in zip(estimator.estimators_, estimator.stack_method_, strict=True)
        for column in graph.columns(_by_method(graph, each, columns, method), 1)
    ]
    return [*made, *columns] if estimator.passthrough else made


def _by_method(graph: Graph, estimator: Any, columns: Columns, method: str) -> str:
    if method == "predict":
        raise NotConverted("StackingClassifier stacks labels (stack_method 'predict')")
    return (probability if method == "predict_proba" else decision)(graph, estimator, columns)


def _stack(write: Written) -> Written:
    return lambda graph, estimator, columns: write(
        graph, estimator.final_estimator_, _stacked(graph, estimator, columns)
    )


def _vote(graph: Graph, estimator: Any, columns: Columns) -> str:
    weights = estimator._weights_not_none  # noqa: SLF001 - those of voters that were not dropped
    return _average(graph, [probability(graph, each, columns) for each in estimator.estimators_], weights)


def _bag(graph: Graph, estimator: Any, columns: Columns) -> str:
    """Trees become one ensemble, whatever columns each of them was given."""
    members = list(zip(estimator.estimators_, estimator.estimators_features_, strict=True))
    if all(type(each) in _TREES for each, _ in members):
        trees = [tree_of(each.tree_, _shares(each) / len(members), of=places) for each, places in members]
        return sum_of_float32(graph, trees, columns)
    return _average(
        graph,
        [probability(graph, each, [columns[place] for place in places]) for each, places in members],
    )


def _average(graph: Graph, tensors: Sequence[str], weights: Sequence[float] | None = None) -> str:
    shares = np.ones(len(tensors)) if weights is None else np.asarray(weights, dtype=float)
    joined = tensors[0] if len(tensors) == 1 else graph.node("Concat", *tensors, axis=1)
    return graph.node("MatMul", joined, (shares / shares.sum())[:, None])


# Calibration.

_NO_LOG_OF_0: Final = 1e-12
"""What scikit-learn adds to a probability before it takes its logarithm."""


def _calibrated(graph: Graph, estimator: Any, columns: Columns) -> str:
    return _average(graph, [_calibrated_once(graph, each, columns) for each in estimator.calibrated_classifiers_])


def _calibrated_once(graph: Graph, calibrated: Any, columns: Columns) -> str:
    by_decision = hasattr(calibrated.estimator, "decision_function")
    raw = (decision if by_decision else probability)(graph, calibrated.estimator, columns)
    if len(calibrated.calibrators) != 1:
        raise NotConverted(f"a calibrated classifier has {len(calibrated.calibrators)} calibrators, expected 1")
    (calibrator,) = calibrated.calibrators
    if type(calibrator) is _SigmoidCalibration:
        steep = graph.node("Add", graph.node("Mul", raw, np.array(calibrator.a_)), np.array(calibrator.b_))
        return graph.node("Sigmoid", graph.node("Neg", steep))
    if type(calibrator) is IsotonicRegression:
        return _interpolated(graph, calibrator, raw)
    if type(calibrator) is _TemperatureScaling:
        return _tempered(graph, calibrator, raw, by_decision=by_decision)
    raise NotConverted(f"{type(calibrator).__name__} is no calibration that is known here")


def _tempered(graph: Graph, scaling: Any, raw: str, *, by_decision: bool) -> str:
    """A decision d counts as the logits -d and d, a probability by its logarithm."""
    if by_decision:
        apart = graph.node("Mul", raw, np.array(2.0))
    else:
        negative = graph.node("Sub", np.ones(1), raw)
        logits = [graph.node("Log", graph.node("Add", each, np.array(_NO_LOG_OF_0))) for each in (raw, negative)]
        apart = graph.node("Sub", *logits)
    return graph.node("Sigmoid", graph.node("Mul", apart, np.array(float(scaling.beta_))))


def _interpolated(graph: Graph, isotonic: Any, raw: str) -> str:
    """Straight lines between the thresholds: the slope of each times how far the value went along it."""
    x, y = np.asarray(isotonic.X_thresholds_, dtype=float), np.asarray(isotonic.y_thresholds_, dtype=float)
    if isotonic.out_of_bounds != "clip":
        raise NotConverted(f"IsotonicRegression does with values out of bounds {isotonic.out_of_bounds!r}")
    if len(x) == 1:
        return graph.node("Add", graph.node("Mul", raw, np.zeros(1)), y[:1])
    along = graph.node("Sub", graph.node("Min", graph.node("Max", raw, x[None, :-1]), x[None, 1:]), x[None, :-1])
    risen = graph.node("MatMul", along, (np.diff(y) / np.diff(x))[:, None])
    return graph.node("Add", risen, y[:1])


# Linear.


def _linear(graph: Graph, estimator: Any, columns: Columns) -> str:
    weights, intercept = dense(estimator.coef_), dense(estimator.intercept_)
    if weights.reshape(-1, weights.shape[-1]).shape[0] != 1:
        raise NotConverted(f"{type(estimator).__name__} has a row of weights for each class, expected one row")
    product = graph.node("MatMul", graph.tensor(columns), weights.reshape(1, -1).T)
    return graph.node("Add", product, intercept.reshape(-1))


def _sigmoid_of(write: Written) -> Written:
    return lambda graph, estimator, columns: graph.node("Sigmoid", write(graph, estimator, columns))


def _by_descent(graph: Graph, estimator: Any, columns: Columns) -> str:
    found = _linear(graph, estimator, columns)
    if estimator.loss == "log_loss":
        return graph.node("Sigmoid", found)
    clipped = graph.node("Min", graph.node("Max", found, np.array(-1.0)), np.array(1.0))
    return graph.node("Div", graph.node("Add", clipped, np.array(1.0)), np.array(2.0))


# Trees.


def _shares(estimator: Any) -> NDArray[Any]:
    """P(positive) of every node of a tree that classifies."""
    values: NDArray[Any] = estimator.tree_.value[:, 0, :]
    shares: NDArray[Any] = values[:, 1] / values.sum(axis=1)
    return shares


def _tree(graph: Graph, estimator: Any, columns: Columns) -> str:
    return sum_of_float32(graph, [tree_of(estimator.tree_, _shares(estimator))], columns)


def _forest(graph: Graph, estimator: Any, columns: Columns) -> str:
    trees = [tree_of(each.tree_, _shares(each) / len(estimator.estimators_)) for each in estimator.estimators_]
    return sum_of_float32(graph, trees, columns)


def _gradient_boosted(graph: Graph, estimator: Any, columns: Columns) -> str:
    if not isinstance(estimator.init_, str | DummyClassifier):
        raise NotConverted(f"GradientBoostingClassifier begins with {type(estimator.init_).__name__}")
    begin = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_)))  # noqa: SLF001 - the same for all rows
    trees = [
        tree_of(each.tree_, each.tree_.value[:, 0, 0] * estimator.learning_rate) for each in estimator.estimators_[:, 0]
    ]
    return graph.node("Add", sum_of_float32(graph, trees, columns), begin.reshape(-1))


def _gradient_boosted_probability(graph: Graph, estimator: Any, columns: Columns) -> str:
    """The exponential loss is that of half the logarithm of the odds."""
    raw = _gradient_boosted(graph, estimator, columns)
    return graph.node("Sigmoid", graph.node("Mul", raw, np.array(2.0)) if estimator.loss == "exponential" else raw)


def _boosted(graph: Graph, estimator: Any, columns: Columns) -> str:
    begin = np.asarray(estimator._baseline_prediction, dtype=float).reshape(-1)  # noqa: SLF001 - nothing else tells it
    return graph.node("Add", boosted_sum(graph, estimator, columns), begin)


def _adaptively_boosted(graph: Graph, estimator: Any, columns: Columns) -> str:
    """Each tree votes with twice its weight, for or against."""
    weights = 2 * estimator.estimator_weights_[: len(estimator.estimators_)] / estimator.estimator_weights_.sum()
    trees: list[Tree] = []
    for each, weight in zip(estimator.estimators_, weights, strict=True):
        if not hasattr(each, "tree_"):
            raise NotConverted(f"AdaBoostClassifier boosts {type(each).__name__}")
        votes = np.argmax(each.tree_.value[:, 0, :], axis=1) * 2.0 - 1.0
        trees.append(tree_of(each.tree_, votes * weight))
    return sum_of_float32(graph, trees, columns)


# Others.


def _kernel_decision(graph: Graph, estimator: Any, columns: Columns) -> str:
    tensor, vectors = graph.tensor(columns), dense(estimator.support_vectors_)
    products = graph.node("MatMul", tensor, vectors.T)
    gamma = np.array(float(estimator._gamma))  # noqa: SLF001 - what "scale" came to
    degree, constant = np.array(float(estimator.degree)), np.array(float(estimator.coef0))
    if estimator.kernel == "rbf":
        squares = graph.node("ReduceSum", graph.node("Mul", tensor, tensor), np.array([1]))
        both = graph.node("Add", squares, (vectors**2).sum(axis=1)[None, :])
        distances = graph.node("Sub", both, graph.node("Mul", products, np.array(2.0)))
        kernel = graph.node("Exp", graph.node("Neg", graph.node("Mul", distances, gamma)))
    elif estimator.kernel == "linear":
        kernel = products
    elif estimator.kernel in ("poly", "sigmoid"):
        kernel = graph.node("Add", graph.node("Mul", products, gamma), constant)
        kernel = graph.node("Pow", kernel, degree) if estimator.kernel == "poly" else graph.node("Tanh", kernel)
    else:
        raise NotConverted(f"{type(estimator).__name__} has the kernel {estimator.kernel!r}")
    return graph.node("Add", graph.node("MatMul", kernel, dense(estimator.dual_coef_).T), estimator.intercept_)


def _gaussian(graph: Graph, estimator: Any, columns: Columns) -> str:
    likelihoods = []
    for prior, mean, variance in zip(estimator.class_prior_, estimator.theta_, estimator.var_, strict=True):
        away = graph.node("Sub", graph.tensor(columns), mean)
        spread = graph.node("ReduceSum", graph.node("Div", graph.node("Mul", away, away), variance), np.array([1]))
        constant = np.log(prior) - 0.5 * np.sum(np.log(2.0 * np.pi * variance))
        likelihoods.append(graph.node("Sub", np.array(constant), graph.node("Mul", spread, np.array(0.5))))
    return graph.node("Sigmoid", graph.node("Sub", likelihoods[1], likelihoods[0]))


_ACTIVATIONS: Final = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def _network(graph: Graph, estimator: Any, columns: Columns) -> str:
    tensor = graph.tensor(columns)
    for number, (weights, shift) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        tensor = graph.node("Add", graph.node("MatMul", tensor, weights.astype(float)), shift.astype(float))
        if number < len(estimator.coefs_) - 1 and estimator.activation != "identity":
            tensor = graph.node(_ACTIVATIONS[estimator.activation], tensor)
    return graph.node("Sigmoid", tensor)


_TREES: Final = (DecisionTreeClassifier, ExtraTreeClassifier)
_FORESTS: Final = (RandomForestClassifier, ExtraTreesClassifier)
_SEARCHES: Final = (GridSearchCV, RandomizedSearchCV)
_THRESHOLDS: Final = (FixedThresholdClassifier, TunedThresholdClassifierCV)
_LINEAR: Final = (LogisticRegression, LogisticRegressionCV, LinearDiscriminantAnalysis)

_PROBABILITIES: Final[dict[type, Written]] = {
    **dict.fromkeys(_SEARCHES, _within("best_estimator_", probability)),
    **dict.fromkeys(_THRESHOLDS, _within("estimator_", probability)),
    FrozenEstimator: _within("estimator", probability),
    Pipeline: _behind(probability),
    StackingClassifier: _stack(probability),
    VotingClassifier: _vote,
    BaggingClassifier: _bag,
    CalibratedClassifierCV: _calibrated,
    **dict.fromkeys(_LINEAR, _sigmoid_of(_linear)),
    SGDClassifier: _by_descent,
    **dict.fromkeys(_TREES, _tree),
    **dict.fromkeys(_FORESTS, _forest),
    GradientBoostingClassifier: _gradient_boosted_probability,
    HistGradientBoostingClassifier: _sigmoid_of(_boosted),
    AdaBoostClassifier: _sigmoid_of(_adaptively_boosted),
    **dict.fromkeys((SVC, NuSVC), _not_written(_ITERATES)),
    **dict.fromkeys((KNeighborsClassifier, RadiusNeighborsClassifier), _not_written(_TIES)),
    GaussianNB: _gaussian,
    MLPClassifier: _network,
}

_DECISIONS: Final[dict[type, Written]] = {
    **dict.fromkeys(_SEARCHES, _within("best_estimator_", decision)),
    FrozenEstimator: _within("estimator", decision),
    Pipeline: _behind(decision),
    StackingClassifier: _stack(decision),
    **dict.fromkeys(
        (
            *_LINEAR,
            SGDClassifier,
            LinearSVC,
            RidgeClassifier,
            RidgeClassifierCV,
            Perceptron,
        ),
        _linear,
    ),
    GradientBoostingClassifier: _gradient_boosted,
    HistGradientBoostingClassifier: _boosted,
    AdaBoostClassifier: _adaptively_boosted,
    **dict.fromkeys((SVC, NuSVC), _kernel_decision),
}
