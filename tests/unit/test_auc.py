"""The AUC and its intervals against scikit-learn, and against the truth of simulated rows."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from monitoring.evaluation.auc import auc, auc_difference_interval, auc_interval


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.floats(0.1, 10)), min_size=2, max_size=40).filter(
        lambda rows: len({row[0] for row in rows}) == 2
    )
)
def test_the_weighted_auc_is_that_of_scikit_learn_ties_included(rows: list[tuple[bool, int, float]]) -> None:
    target, score, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert auc(target, score, weight) == pytest.approx(roc_auc_score(target, score, sample_weight=weight))


def test_a_row_of_weight_two_counts_like_two_rows() -> None:
    once = auc(np.array([1, 0, 0]), np.array([0.5, 0.2, 0.9]), np.array([1, 2, 1]))
    assert once == auc(np.array([1, 0, 0, 0]), np.array([0.5, 0.2, 0.2, 0.9]))


@pytest.mark.parametrize(
    ("target", "weight"), [([1, 1], [1, 1]), ([0, 0], [1, 1]), ([0, 1], [1, 0]), ([], [])], ids=str
)
def test_without_both_classes_there_is_no_auc(target: list[int], weight: list[int]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        auc(np.array(target), np.zeros(len(target)), np.array(weight))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    # Normal scores one standard deviation apart have an AUC of Phi(1 / sqrt 2) = 0.760.
    random = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        target = (random.random(300) < 0.3).astype(int)
        interval = auc_interval(target, random.normal(target, 1.0))
        held += interval.low <= 0.760 <= interval.high
    assert 82 <= held <= 98


def test_the_same_rows_give_the_same_interval() -> None:
    target, score = np.array([0, 1] * 100), np.linspace(0, 1, 200)
    assert auc_interval(target, score) == auc_interval(target, score)


def test_a_better_score_on_the_same_rows_is_found_better_although_both_intervals_overlap() -> None:
    random = np.random.default_rng(2)
    target = (random.random(1500) < 0.3).astype(int)
    signal = target + random.normal(0, 1.0, 1500)
    noisier = signal + random.normal(0, 0.4, 1500)
    difference = auc_difference_interval(target, signal, noisier)
    assert difference.low > 0
    assert auc_interval(target, signal).low < auc_interval(target, noisier).high


def test_a_score_does_not_differ_from_itself() -> None:
    target, score = np.array([0, 1] * 50), np.linspace(0, 1, 100)
    assert auc_difference_interval(target, score, score) == (0.0, 0.0, 0.0)


def test_ten_thousand_rows_take_no_noticeable_time() -> None:
    random = np.random.default_rng(3)
    target, score = (random.random(10_000) < 0.3).astype(int), random.random(10_000)
    started = time.perf_counter()
    auc_interval(target, score)
    assert time.perf_counter() - started < 2
