"""Can these outcomes be believed? What contradicts champion and rule at once is more likely to be wrong than the world
is to have turned round. Pure.

Three things are well-defined enough to stop a retraining:

- *inverted*: champion and rule, which both ranked better than chance, both look like their own mirror image. A world
  that changes makes what was learnt useless; it may make some of it wrong, but not the opposite of all of it right, for
  the model and for the plain rule at once.
- *one class*: the newest outcomes are of one class, all but a few, where dozens of the other were expected: a default
  has been filled in somewhere upstream. Where outcomes are late, the other class may be what is late.
- *too early*: outcomes were observed more than a day before the question was asked.

A base rate that jumps is left alone, since real changes do that; so are outcomes that are corrected in great number,
since feeds that send provisional ones do that. If such a correction flips outcomes, they look inverted.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitoring.evaluation.auc import Estimate, auc, auc_interval
from monitoring.evaluation.baseline import score_without_model, usable_of
from monitoring.evaluation.performance import MINIMUM_OF_A_CLASS, MINIMUM_ROWS, SLICES_AT_MOST
from monitoring.evaluation.standing import GROUP
from monitoring.evaluation.unknown import NotEnoughData
from services.core.records import Judged, VersionRecord
from services.core.spec import ModelSpec

STRETCHES: Final = 5
"""The tested time is cut into so many parts with equally many rows; every run of parts is tested. Flipped outcomes that
fill a fifth of it are found wherever they lie, and fifteen tests leave chance little to choose from."""

SIGMAS: Final = 4.0
"""How far below chance an AUC has to lie. With some hundred runs of parts and slices tested at a look, on two scores
that agree, chance alone gets there once in several hundred looks; and it has to look like the mirror image, too."""

FLIPPED_BY_CHAMPION: Final = 0.875
FLIPPED_BY_RULE: Final = 0.75
"""So large a share of the outcomes has to be flipped, by the champion's AUC and by the rule's, to be called inverted.

A share s moves an AUC from a to 1/2 + (a - 1/2)(1 - 2s). Real changes look like up to 0.75 by the champion for days
(scammers who avoid all that gave them away: 0.89 became 0.32), and then by the rule as well, which knows little and
whose AUC is less sure. A feed that sends the other word flips all."""

ABOVE_CHANCE: Final = 0.55
"""A score that ranked no better than this has nothing to contradict outcomes with. Where the rule is such a one, none
are called inverted: scammers who turned round within one category took a champion from 0.80 to 0.15, and were real."""

UNTOUCHED: Final = 0.75
"""The part of what the champion ranked better than chance by that has to be left; chance takes a tenth of 200 rows."""

KNOWN_TO_RANK: Final = 0.7
"""The champion's, where nobody recorded what it ranked like and only the answers just before the trouble tell: the
world may have been changing by then already."""

EXPECTED_OF_THE_OTHER: Final = 50.0
"""So many of the class that is absent the champion expected. Were that class ten times rarer than it has ever been, all
of them would still be missing by chance in one of 150 such runs only."""
EXPECTED_PER_ODD_ONE: Final = 25.0
"""So many more for each that did come: chance gets there as rarely, and one outcome that somebody entered by hand does
not hide a default."""

TOO_EARLY: Final = timedelta(days=1)
"""Feeds that know the day alone say midnight for an outcome of the afternoon."""
TOO_EARLY_SHARE: Final = 0.05

SURE: Final = 0.02
"""Probabilities are taken to lie this far from 0 and 1: one answer that was too sure must not say when it all began."""

Numbers = NDArray[Any]


class Kind(StrEnum):
    """Why outcomes cannot be believed."""

    INVERTED = "inverted"
    ONE_CLASS = "one_class"
    TOO_EARLY = "too_early"


class Was(NamedTuple):
    """What the champion and the rule ranked like when the champion was promoted; None where nobody recorded it."""

    champion: float | None = None
    rule: float | None = None

    @classmethod
    def recorded(cls, versions: Iterable[VersionRecord], version: str | None) -> "Was":
        """From the evidence with which this version passed the gate, where it was the challenger."""
        evidence = next((each.evidence for each in versions if each.version == version), {})
        areas = evidence.get("auc", {})
        champion, rule = (areas.get(name, {}).get("value") for name in ("challenger", "rule"))
        return cls(champion, rule)


@dataclass(frozen=True, slots=True)
class Doubt:
    """`since` is when it presumably began; `reason` says so in words and figures; `evidence` is JSON-ready."""

    kind: Kind
    since: datetime
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def as_body(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "since": self.since.isoformat(), "reason": self.reason, **self.evidence}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """n matured answers whose outcome says what happens when nobody acts, oldest first.

    `champion` and `rule` are their scores in [0, 1], `target` zeros and ones, `weight` numbers above 0, `groups` the
    group of each answer in each slice.
    """

    made_at: Sequence[datetime]
    target: Numbers
    weight: Numbers
    champion: Numbers
    rule: Numbers
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.made_at)

    def where(self, chosen: Numbers) -> "Answers":
        """Those of the places `chosen`, in their order."""
        return Answers(
            made_at=[self.made_at[place] for place in chosen],
            target=self.target[chosen],
            weight=self.weight[chosen],
            champion=self.champion[chosen],
            rule=self.rule[chosen],
        )

    def between(self, start: int, end: int) -> "Answers":
        return self.where(np.arange(start, end))

    def first_since(self, moment: datetime) -> int:
        """The place of the first answer made since then."""
        return bisect_left(self.made_at, moment)


def answers_of(spec: ModelSpec, judged: Sequence[Judged]) -> Answers:
    """The matured answers of a version that count, with the scores that it gave. `judged` oldest first."""
    rows = [row for row in judged if row.outcome and row.prediction.score is not None and row.prediction.weight > 0]
    return Answers(
        made_at=[row.prediction.made_at for row in rows],
        target=np.array([row.outcome == spec.task.positive for row in rows], dtype=int),
        weight=np.array([row.prediction.weight for row in rows], dtype=float),
        champion=np.array([row.prediction.score for row in rows], dtype=float),
        rule=np.array([score_without_model(spec, usable_of(row)) for row in rows], dtype=float),
    )


def in_words_of(spec: ModelSpec, rows: Sequence[Judged]) -> list[Judged]:
    """The rows, without outcomes that are none of the task's classes: nobody knows which of the two such a word means,
    and whoever compares it with the positive one takes it for the other. An earlier spec had them, or another feed."""
    classes = (None, *spec.task.classes)
    return [row if row.outcome in classes else Judged(row.prediction) for row in rows]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Of a sample of matured answers, oldest first: when each was made, and whether its outcome has come."""

    made_at: Sequence[datetime]
    come: Numbers

    @classmethod
    def of(cls, sample: Sequence[Judged]) -> "Arrivals":
        """Those that were acted on are left out: nothing is learnt from their outcomes."""
        counted = [row for row in sample if row.prediction.weight > 0]
        return cls(
            [row.prediction.made_at for row in counted], np.array([row.outcome is not None for row in counted], bool)
        )

    def late_per_come(self, since: datetime) -> float:
        """How many outcomes are late for each that has come, of answers made since then: those that are missing beyond
        what was missing before. All that are missing, where there is no before."""
        start = bisect_left(self.made_at, since)
        before = _missing_per_come(self.come[:start]) if start >= MINIMUM_ROWS else 0.0
        return max(0.0, _missing_per_come(self.come[start:]) - before)


def _missing_per_come(come: Numbers) -> float:
    came = int(come.sum())
    return (len(come) - came) / max(1, came)


def doubts(
    answers: Answers, *, since: datetime, was: Was, arrivals: Callable[[], Arrivals]
) -> tuple[Doubt, ...] | NotEnoughData:
    """What speaks against the outcomes of the answers made since `since`; nothing where they can be believed.

    Those made earlier say what was before, and may put the beginning before `since`. A part of the answers, one group
    of a slice, is looked at where the whole looks right.

    Args:
        arrivals: reads those of the same answers and of as many earlier ones as there are; called where it matters.
    """
    tested = len(answers) - answers.first_since(since)
    if tested < MINIMUM_ROWS:
        return NotEnoughData(tested, MINIMUM_ROWS, "matured answers whose outcomes could be checked")
    whole = _one_class(answers, arrivals) or _inverted(answers, answers.first_since(since), was)
    return (whole,) if whole is not None else tuple(_of_groups(answers, since=since))


def too_early(rows: Sequence[Judged]) -> Doubt | None:
    """Whether outcomes were observed before the question was asked. `rows` oldest first."""
    pairs = [(row.prediction.made_at, row.observed_at) for row in rows if row.observed_at is not None]
    early = [made_at for made_at, observed_at in pairs if made_at - observed_at > TOO_EARLY]
    if len(pairs) < MINIMUM_ROWS or len(early) <= TOO_EARLY_SHARE * len(pairs):
        return None
    since = early[0]
    reason = (
        f"outcomes were observed before the question since {_moment(since)}: {len(early)} of {len(pairs)} more than a "
        "day before their answer was given, so they are another question's"
    )
    return Doubt(Kind.TOO_EARLY, since, reason, {"n": len(pairs), "early": len(early)})


def _of_groups(answers: Answers, *, since: datetime) -> Iterator[Doubt]:
    """At most one per slice, of its largest doubted group. What a group was like is known from its own answers alone.

    Only inversion is looked for: that a class vanishes from one group is what real changes do. They may even turn
    one group round, but they do not leave the others as they were; a feed that sends the other word for its own does.
    """
    for name, groups in answers.groups.items():
        for group, _ in Counter(groups).most_common(SLICES_AT_MOST):
            inside = np.array(groups) == group
            part, others = answers.where(np.flatnonzero(inside)), answers.where(np.flatnonzero(~inside))
            found = _inverted(part, part.first_since(since), None, group=f"{name} is {group}")
            if found is not None and _is_untouched(others, found.since):
                yield found
                break


def _is_untouched(answers: Answers, since: datetime) -> bool:
    """Whether the champion ranks as it did before: at most a part of what it knew is lost."""
    start = answers.first_since(since)
    earlier, later = answers.between(0, start), answers.between(start, len(answers))
    if not _has_both_classes(earlier) or not _has_both_classes(later):
        return False
    return _auc(later, "champion") - 0.5 >= UNTOUCHED * (_auc(earlier, "champion") - 0.5)


def _one_class(answers: Answers, arrivals: Callable[[], Arrivals]) -> Doubt | None:
    """Whether the newest outcomes are of one class, all but a few, where dozens of the other were expected."""
    found = (_all_of(one, answers, arrivals) for one in (0, 1))
    return next((each for each in found if each is not None), None)


def _all_of(one: int, answers: Answers, arrivals: Callable[[], Arrivals]) -> Doubt | None:
    seen = np.concatenate([[0], np.cumsum(answers.target != one)])
    starts = np.concatenate([[0], np.flatnonzero(answers.target != one) + 1])
    starts = starts[len(answers) - starts >= MINIMUM_ROWS]
    if not len(starts):
        return None
    odd, expected = seen[-1] - seen[starts], _expected_of_the_other(one, answers, starts)
    clearest = int(np.argmax(expected - EXPECTED_PER_ODD_ONE * odd))
    start, came, missing = int(starts[clearest]), int(odd[clearest]), float(expected[clearest])
    enough = EXPECTED_OF_THE_OTHER + EXPECTED_PER_ODD_ONE * came
    if missing < enough:
        return None
    n, since = len(answers) - start, answers.made_at[start]
    late = n * arrivals().late_per_come(since)
    if missing - late < enough:
        return None
    reason = (
        f"outcomes are of one class since {_moment(since)}: {n - came} of {n}, among which {missing:.0f} of the other "
        "were to be expected"
    )
    return Doubt(Kind.ONE_CLASS, since, reason, {"n": n, "odd": came, "late": late, "expected_of_the_other": missing})


def _expected_of_the_other(one: int, answers: Answers, starts: Numbers) -> Numbers:
    """How many of the other class the answers from each of these places on should have: by the champion's
    probabilities, or by the share of it before, whichever is less."""
    scores = answers.champion if one == 0 else 1 - answers.champion
    by_champion = np.append(np.cumsum(scores[::-1])[::-1], 0)[starts]
    before = np.concatenate([[0], np.cumsum(answers.target != one)])[starts]
    by_share = before / np.maximum(starts, 1) * (len(answers) - starts)
    return np.where(starts < MINIMUM_ROWS, by_champion, np.minimum(by_champion, by_share))


def _inverted(answers: Answers, first: int, was: Was | None, group: str = "") -> Doubt | None:
    """Whether champion and rule look like their own mirror image in some stretch since the place `first`.

    Without `was`, only the answers before the stretch say what was.
    """
    stretch = _most_contradictory(answers, first)
    if stretch is None:
        return None
    start, end = _beginning(answers, stretch), stretch[1]
    earlier, contradicted = answers.between(0, start), answers.between(start, end)
    champion, rule = (_witness(name, earlier, contradicted, was) for name in ("champion", "rule"))
    if champion is None or rule is None:
        return None
    if not champion.mirrored(FLIPPED_BY_CHAMPION) or not rule.mirrored(FLIPPED_BY_RULE):
        return None
    return _contradiction(contradicted, (champion, rule), group)


def _contradiction(answers: Answers, witnesses: Sequence["_Witness"], group: str) -> Doubt:
    since, share = answers.made_at[0], witnesses[0].flipped_share
    said = "; ".join(witness.told for witness in witnesses)
    many = f"; about {share:.0%} of these {len(answers)} outcomes are the wrong way round"
    evidence = {
        "n": len(answers),
        "until": answers.made_at[-1].isoformat(),
        "flipped_share": share,
        **{witness.name: witness.as_body() for witness in witnesses},
        **({GROUP: group} if group else {}),
    }
    where = f" where {group}" if group else ""
    return Doubt(Kind.INVERTED, since, f"outcomes look inverted since {_moment(since)}{where}: {said}{many}", evidence)


def _most_contradictory(answers: Answers, first: int) -> tuple[int, int] | None:
    """The run of stretches [start, end) in which the champion is worst, for its length; None if not beyond chance."""
    parts = max(1, min(STRETCHES, (len(answers) - first) // MINIMUM_ROWS))
    edges = np.linspace(first, len(answers), parts + 1).astype(int).tolist()
    runs = [run for run in combinations(edges, 2) if _has_both_classes(answers.between(*run))]
    worst = max(runs, key=lambda run: _against(answers.between(*run)), default=None)
    if worst is None or _against(answers.between(*worst)) <= 0:
        return None
    return worst if _is_below_chance(_area(answers.between(*worst), "champion")) else None


def _against(answers: Answers) -> float:
    """How far the champion is below chance, in units of what chance does: its spread goes with 1 / sqrt(n)."""
    return float((0.5 - _auc(answers, "champion")) * np.sqrt(len(answers)))


def _has_both_classes(answers: Answers) -> bool:
    ones = int(answers.target.sum())
    return len(answers) >= MINIMUM_ROWS and min(ones, len(answers) - ones) >= MINIMUM_OF_A_CLASS


def _area(answers: Answers, name: str) -> Estimate:
    return auc_interval(answers.target, getattr(answers, name), answers.weight)


def _is_below_chance(area: Estimate) -> bool:
    """A 90 % interval reaches 1.645 standard deviations to either side."""
    return area.value + SIGMAS * (area.high - area.low) / (2 * 1.645) < 0.5


def _beginning(answers: Answers, stretch: tuple[int, int]) -> int:
    """Where the flipped outcomes of this stretch most likely begin; perhaps before it.

    The place that maximises the likelihood ratio of "flipped" against "as the champion said", summed to the stretch's
    end (Page 1954, Biometrika 41): an outcome that had probability p had 1 - p if it was flipped.
    """
    start, end = stretch
    sure = np.clip(answers.champion[:end], SURE, 1 - SURE)
    ratio = (1 - 2 * answers.target[:end]) * (np.log(sure) - np.log1p(-sure))
    likeliest = int(end - 1 - np.argmax(np.cumsum(ratio[::-1])))
    return likeliest if _has_both_classes(answers.between(likeliest, end)) else start


@dataclass(frozen=True, slots=True, kw_only=True)
class _Witness:
    """A score that ranked better than chance before: its AUC then, at its best, and now."""

    name: str
    before: float
    now: Estimate

    def mirrored(self, share: float) -> bool:
        """Whether it looks as if at least this share of the outcomes was flipped."""
        return _is_below_chance(self.now) and self.now.value < 0.5 + (self.before - 0.5) * (1 - 2 * share)

    @property
    def flipped_share(self) -> float:
        return float(np.clip((self.before - self.now.value) / (2 * self.before - 1), 0, 1))

    @property
    def told(self) -> str:
        return (
            f"{self.name}'s AUC {self.now.value:.3f} [{self.now.low:.3f}, {self.now.high:.3f}] (was {self.before:.3f})"
        )

    def as_body(self) -> dict[str, Any]:
        return {"before": self.before, **self.now._asdict()}


def _witness(name: str, earlier: Answers, contradicted: Answers, was: Was | None) -> _Witness | None:
    """None for a score that is not known to have ranked."""
    recorded = None if was is None else getattr(was, name)
    needed = KNOWN_TO_RANK if recorded is None and name == "champion" else ABOVE_CHANCE
    seen = _auc(earlier, name) if _has_both_classes(earlier) else None
    before = max((each for each in (recorded, seen) if each is not None), default=0.0)
    if before < needed:
        return None
    return _Witness(name=name, before=before, now=_area(contradicted, name))


def _auc(answers: Answers, name: str) -> float:
    return auc(answers.target, getattr(answers, name), answers.weight)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
