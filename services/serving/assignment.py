"""Which arm an entity is in. Pure and sticky: the same entity is always in the same arm of the same experiment."""

import hashlib
from typing import Final

from services.core.predictions import Arm

_DRAWS: Final = 2**64


def assign(*, model: str, salt: str, entity_id: str, control_share: float) -> Arm:
    """Draw the entity's arm; control with probability `control_share`, in [0, 1].

    A keyed hash stands in for the draw, so that every worker agrees without a table of assignments. Raising the share
    moves entities from treatment to control and none the other way; a new salt draws everybody again.
    """
    return Arm.CONTROL if draw(model=model, salt=salt, entity_id=entity_id) < control_share else Arm.TREATMENT


def draw(*, model: str, salt: str, entity_id: str) -> float:
    """The entity's number, uniform on [0, 1) over entities and independent between models and salts."""
    key = hashlib.blake2b(f"{model}\x1f{salt}".encode(), digest_size=32).digest()
    digest = hashlib.blake2b(entity_id.encode(), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big") / _DRAWS
