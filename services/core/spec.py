"""What a model declares about itself. Everything else is derived from it by discovery."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from services.core.errors import SpecError
from services.core.features import Value
from services.core.limits import text_problem
from services.core.predictions import LEAST_CONTROL_SHARE, Answer
from services.core.wording import in_digits, listed

if TYPE_CHECKING:
    from services.core.records import Judged
    from services.core.training import TrainingSet

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
RESERVED = frozenset(
    {
        *("made_at", "score", "target", "weight"),
        *("entity_id", "request_id", "started_at"),
        *("label", "probabilities"),
        *Answer.__struct_fields__,
    }
)
"""What stands beside the features: columns of training sets and references, members of requests, what a converted model
calls its outputs, and members of answers, which are tensors of the Open Inference Protocol as well."""

CATEGORIES_TOLD = 20
"""Of a longer list a message tells the first ones alone: it is made in the request that is wrong."""


class Source(StrEnum):
    """Where a feature's value comes from: the caller's request, or the online store."""

    REQUEST = "request"
    ONLINE = "online"


class Unavailable(StrEnum):
    """What to do without a feature: let the rule answer, or leave a gap for a model that takes gaps."""

    ASK_THE_RULE = "ask_the_rule"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Impute:
    """Give the model this value instead, and say so in the answer."""

    value: Value


LARGEST: Final = 3.4e38
"""Of a number: single precision has no larger one. What is far beyond it has a square that is infinite in double
precision too, and one such value among the rows of a training set would fail every training that scales them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """A finite number in [low, high]; both bounds are included, None means unbounded but for `LARGEST`."""

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if bound is not None and (isinstance(bound, bool) or not math.isfinite(bound)):
                raise SpecError(f"a number is bounded by {bound!r}; expected a finite number, or None for no bound")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise SpecError(f"a number is at least {self.low!r} and at most {self.high!r}, which none is; swap them")

    def takes(self, value: object) -> bool:
        """Whether `value` is a number that can be computed with, whatever the bounds are now."""
        return not isinstance(value, bool) and isinstance(value, int | float) and -LARGEST <= value <= LARGEST

    def problem(self, value: object) -> str | None:
        """Say why `value` is not one of this kind, or None when it is."""
        if isinstance(value, bool) or not isinstance(value, (float, int)):
            return f"found {value!r}, expected a number"
        if not math.isfinite(value):
            return f"found {value!r}, expected a finite number"
        if not -LARGEST <= value <= LARGEST:
            return f"found {value!r}, expected at most {LARGEST:g} on either side of 0"
        if self.low is not None and value < self.low:
            return f"found {value!r}, expected at least {in_digits(self.low)}"
        if self.high is not None and value > self.high:
            return f"found {value!r}, expected at most {in_digits(self.high)}"
        return None


@dataclass(frozen=True)
class Categorical:
    """One of a closed set of strings."""

    categories: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.categories:
            raise SpecError("a feature has no category; declare those that it can have")
        for category in self.categories:
            _require_sayable("category", category)
        _require_once("category", self.categories)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.categories)

    def __contains__(self, value: object) -> bool:
        """Whether it is one of them: one look, however many they are."""
        return value in self._known

    def takes(self, value: object) -> bool:
        """Whether `value` is a text, whatever the categories are now."""
        return isinstance(value, str)

    def problem(self, value: object) -> str | None:
        """Say why `value` is not one of this kind, or None when it is."""
        if isinstance(value, str) and value in self._known:
            return None
        found = repr(value[:64] if isinstance(value, str) else value)
        return f"found {found}, expected one of {listed(self.categories, at_most=CATEGORIES_TOLD)}"


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model.

    Args:
        max_age: oldest usable value, measured from the value's own time; None for values of the request itself.
        known_after: how long after the entity's start the value means anything (None: from the start). A value that
            is asked for or was observed sooner is `too_early`.
    """

    name: str
    kind: Numeric | Categorical
    source: Source
    _: KW_ONLY
    meaning: str
    owner: str
    refreshed: str
    max_age: timedelta | None = None
    known_after: timedelta | None = None
    if_unavailable: Unavailable | Impute = Unavailable.ASK_THE_RULE

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SpecError(f"feature name {self.name!r} is not snake_case; expected {NAME.pattern}")
        if self.name in RESERVED:
            raise SpecError(
                f"feature name {self.name!r} is taken: it stands beside the features in requests, answers, tensors or "
                "training sets; choose another name"
            )
        if self.source is Source.ONLINE and self.max_age is None:
            raise SpecError(f"feature {self.name!r} comes from the online store and has no max_age; state one")
        imputed = self.if_unavailable
        if isinstance(imputed, Impute) and (problem := self.kind.problem(imputed.value)):
            raise SpecError(f"feature {self.name!r} imputes a value it would refuse: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryClassification:
    """Two classes in the caller's words. `outcome_delay` is how long after the answer the truth is certain."""

    positive: str
    negative: str
    outcome_delay: timedelta

    def __post_init__(self) -> None:
        for name in self.classes:
            _require_sayable("class", name)
        _require_once("class", self.classes)

    @property
    def classes(self) -> tuple[str, str]:
        return (self.negative, self.positive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to tell the caller. `score` is P(positive), in [0, 1], or None when whoever decided has none.

    Words that no store takes decide nothing: consumers would bury the answer, after the caller has acted on it.
    """

    label: str
    action: str
    score: float | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problem := text_problem(self.label) or text_problem(self.action):
            raise SpecError(
                f"a decision has the label {self.label[:64]!r} and the action {self.action[:64]!r}: {problem}; choose "
                "another text"
            )


class Good(StrEnum):
    """Which direction of a measure is good for the business."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something the business counts, judged once the outcome is known.

    `value` maps one judged prediction to `unit`s; the sum over an arm is the measure's total in that arm.
    """

    name: str
    good: Good
    unit: str
    meaning: str
    value: Callable[[Judged], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What callers may rely on, and what judging needs. All but `p99` are shares in [0, 1].

    `outcome_coverage` is how many of the matured answers have an outcome: of the others nobody learns what was right,
    and those that are missing are rarely missing by chance.
    """

    p99: timedelta
    answered: float
    answered_by_model: float
    outcome_coverage: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """When a change of the inputs counts.

    Args:
        window: event time that one evaluation looks back.
        minimum_rows: fewer usable rows give "not enough data".
        numeric, categorical: names of Evidently statistics (distances: high means drift).
        minimum_effect: a distance below this is never drift, however certain (`numeric` and `categorical` each).
        false_alarm_days: at most one false alarm in so many days without drift, all features together.
        windows_in_a_row: how many windows in a row that share no rows must find it before it is reported.
        enough_features: how many features must have drifted for the model to be called drifted.
        broken_share: a drifted feature that was unusable in more than this share of rows has a broken source,
            which is no reason to retrain.
    """

    window: timedelta = timedelta(days=5)
    minimum_rows: int = 300
    numeric: str = "wasserstein"
    categorical: str = "jensenshannon"
    minimum_effect: Mapping[str, float] = field(
        default_factory=lambda: {"wasserstein": 0.2, "jensenshannon": 0.1, "psi": 0.1}
    )
    false_alarm_days: float = 30.0
    windows_in_a_row: int = 2
    enough_features: int = 1
    broken_share: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainingPolicy:
    """When and on what a new version is trained.

    Args:
        cool_down: event time between two retrainings of the model.
        per_day: at most so many a day of event time.
        minimum_outcomes: matured outcomes since the drift began before training starts; a job waits for them.
        history: how far back a training set reaches at most.
        patience: how long a job waits for outcomes before it is refused.
    """

    cool_down: timedelta = timedelta(days=3)
    per_day: int = 1
    minimum_outcomes: int = 1000
    history: timedelta = timedelta(days=90)
    patience: timedelta = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a new version has to show on the newest matured rows, which its training never saw.

    Args:
        holdout: share of the rows, the newest, that is kept for the gate.
        minimum_outcomes: fewer held-out rows refuse the promotion as unknown.
        margin: how much better the AUC has to be than the champion's (a difference of two AUCs).
        confidence: of the interval on that difference whose lower end must be above zero.
        changed_answers_at_most: a version that would tell a larger share of those who were asked about lately something
            else than the champion does (another label or action) is registered, and waits for a person to promote it.
            1.0 lets every one that passes serve. The price change of churn, after which the champion is hardly
            better than chance, changes 0.33 to 0.42; the other worlds' changes less.
    """

    holdout: float = 0.3
    minimum_outcomes: int = 200
    margin: float = 0.005
    confidence: float = 0.9
    changed_answers_at_most: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.changed_answers_at_most <= 1:
            raise SpecError(
                f"the gate's changed_answers_at_most is {self.changed_answers_at_most!r}; it is a share, from 0 (every "
                "change waits for a person) to 1 (none does)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """`control` is the share of entities, drawn once each, on whose answers nobody acts."""

    control: float = 0.2
    salt: str = "1"

    def __post_init__(self) -> None:
        if not (self.control == 0 or LEAST_CONTROL_SHARE <= self.control <= 1):
            raise SpecError(
                f"the experiment's control is {self.control!r}; it is a share: 0 (everybody is acted on), or from "
                f"{LEAST_CONTROL_SHARE:g} to 1, such as 0.2"
            )


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One model: its folder's `SPEC`.

    Args:
        rule: usable features → Decision, or None when the rule lacks its inputs.
        last_resort: the constant answer when even the rule has none.
        train: TrainingSet → fitted scikit-learn classifier with `predict_proba`, taking a DataFrame of `feature_names`.
        decide: score in [0, 1] → Decision.
    """

    name: str
    entity: str
    task: BinaryClassification
    features: tuple[Feature, ...]
    rule: Callable[[Mapping[str, Value]], Decision | None]
    last_resort: Decision
    train: Callable[[TrainingSet], Any]
    decide: Callable[[float], Decision]
    measures: tuple[Measure, ...]
    slices: tuple[str, ...]
    objectives: Objectives
    owner: str
    meaning: str
    drift: DriftPolicy = DriftPolicy()
    retraining: RetrainingPolicy = RetrainingPolicy()
    gate: Gate = Gate()
    experiment: Experiment = Experiment()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SpecError(f"model name {self.name!r} is not snake_case; expected {NAME.pattern}")
        names = self.feature_names
        for what, declared in (
            ("feature", names),
            ("slice", self.slices),
            ("measure", tuple(measure.name for measure in self.measures)),
        ):
            _require_once(what, declared, of=f"model {self.name!r}: ")
        if unknown := set(self.slices) - set(names):
            raise SpecError(f"model {self.name!r} slices by {', '.join(sorted(unknown))}, which is no feature of it")
        held_out = self.retraining.minimum_outcomes * self.gate.holdout
        if held_out < self.gate.minimum_outcomes:
            raise SpecError(
                f"model {self.name!r} retrains on {self.retraining.minimum_outcomes} outcomes, of which the gate holds "
                f"back {held_out:.0f} and needs {self.gate.minimum_outcomes}: every retraining would be refused"
            )
        if {measure.good for measure in self.measures} != {Good.UP, Good.DOWN}:
            raise SpecError(f"model {self.name!r} needs a measure that should rise and one that should fall")

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Feature names in the order of the spec, which is the order of every vector and column."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def online_features(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.source is Source.ONLINE)

    @cached_property
    def by_name(self) -> Mapping[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def feature(self, name: str) -> Feature:
        if (feature := self.by_name.get(name)) is None:
            raise SpecError(f"model {self.name!r} has no feature {name!r}; it has {', '.join(self.feature_names)}")
        return feature


def _require_once(what: str, names: tuple[str, ...], *, of: str = "") -> None:
    if len(set(names)) < len(names):
        twice = [name for name, times in Counter(names).items() if times > 1]
        raise SpecError(f"{of}{what} {', '.join(map(repr, twice))} is declared twice; declare it once")


def _require_sayable(what: str, text: str) -> None:
    """What is declared, callers have to be able to send."""
    if problem := text_problem(text):
        raise SpecError(f"{what} {text[:64]!r} can come in no request: {problem}; declare another text")
