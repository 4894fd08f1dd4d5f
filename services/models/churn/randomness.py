"""Chance that does not depend on the order of questions."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a draw is about. Streams never share numbers."""

    CALLS = 1
    CUSTOMER = 2
    FEED = 3
    FATE = 4


def draws(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """The generator of one thing: the same seed, stream and key give the same numbers, whoever asked before."""
    return np.random.default_rng((seed, int(stream), *key))
