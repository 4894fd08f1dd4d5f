"""Draws that belong to what they are about, so that no question changes the answer to another."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np


class Topic(IntEnum):
    """What is drawn. Topics never share numbers."""

    DAY = 1
    LISTING = 2
    REACTION = 3
    FEED = 4


def generator(seed: int, topic: Topic, *key: int) -> np.random.Generator:
    """Always the same numbers for the same seed, topic and key. No key is negative."""
    return np.random.default_rng((seed, int(topic), *key))


def picked(chance: np.random.Generator, options: Sequence[str], shares: Sequence[float]) -> str:
    """One of the options; `shares` are their weights and need not sum to 1."""
    bounds = np.cumsum(shares)
    return options[int(np.searchsorted(bounds, chance.random() * bounds[-1], side="right"))]
