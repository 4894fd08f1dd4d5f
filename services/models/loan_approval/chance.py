"""Chance in the simulated world: each thing has its own generator, so no question disturbs the answer to another."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What is drawn. Numbers of one stream tell nothing about those of another."""

    DAY = 1
    APPLICANT = 2
    APPLICATION = 3
    BUREAU = 4
    REPAYMENT = 5


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """The generator for one thing of the world with this seed; `key` has non-negative numbers."""
    return np.random.default_rng((seed, int(stream), *key))
