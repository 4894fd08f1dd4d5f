"""Tensors: which there are, and their elements to and from JSON or bytes.

An element is a number, a text, or None where there is no value. Binary tensors are little-endian; a text is its length
in four bytes and then its UTF-8.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from services.core.spec import ModelSpec, Numeric, Source
from services.serving.requests import Faults, json_type

BYTES: Final = "BYTES"
FP64: Final = "FP64"

NUMBERS: Final[dict[str, np.dtype[Any]]] = {
    FP64: np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    **{
        f"{sign}INT{8 * size}": np.dtype(f"<{sign.lower() or 'i'}{size}") for sign in ("", "U") for size in (1, 2, 4, 8)
    },
}
"""Data types that a number may have, the one that is announced first."""

ENTITY: Final = "entity_id"
FIELDS: Final = (ENTITY, "request_id", "started_at")
"""Inputs beside the features."""

OUTPUTS: Final = {
    "prediction_id": BYTES,
    "served_by": BYTES,
    "version": BYTES,
    "label": BYTES,
    "score": FP64,
    "action": BYTES,
    "arm": BYTES,
}
"""Data types by name; each is a member of the answer to a row."""

Elements = list[Any]

_LENGTH: Final = struct.Struct("<I")


def inputs_of(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Accepted data types by the input's name; the first of them is announced."""
    features = {
        feature.name: tuple(NUMBERS) if isinstance(feature.kind, Numeric) else (BYTES,)
        for feature in spec.features
        if feature.source is Source.REQUEST
    }
    return {**dict.fromkeys(FIELDS, (BYTES,)), **features}


def from_json(data: object, datatype: str, shape: Sequence[int], where: str, faults: Faults) -> Elements | None:
    """The elements, flat or nested as the shape has them; None after a fault of the whole.

    Whether an element is of its feature's type is checked with the row that it becomes a part of.
    """
    if not isinstance(data, list):
        faults.add(f"{where}.data", f"found {json_type(data)}, expected an array")
        return None
    elements = _flat(data) if len(shape) > 1 else data
    if len(elements) != shape[0]:
        faults.add(f"{where}.data", f"found {len(elements)} elements, expected {shape[0]} as in its shape")
        return None
    if datatype in NUMBERS and NUMBERS[datatype].kind in "iu":
        _check_integers(elements, datatype, where, faults)
    return elements


def from_bytes(raw: bytes, datatype: str, rows: int, where: str, faults: Faults) -> Elements | None:
    """The elements; None after a fault of the whole. A NaN is no value."""
    if datatype == BYTES:
        return _texts(raw, rows, where, faults)
    numbers = NUMBERS[datatype]
    if len(raw) != rows * numbers.itemsize:
        faults.add(f"{where}.data", f"found {len(raw)} bytes, expected {rows} times {numbers.itemsize}")
        return None
    return [None if math.isnan(each) else each for each in np.frombuffer(raw, numbers).tolist()]


def to_bytes(elements: Elements, datatype: str) -> bytes:
    """As `from_bytes` reads them; no value is a NaN."""
    if datatype == BYTES:
        return b"".join(_LENGTH.pack(len(text)) + text for text in map(str.encode, elements))
    return np.array([math.nan if each is None else each for each in elements], NUMBERS[datatype]).tobytes()


def _flat(data: Elements) -> Elements:
    nested = all(isinstance(each, list) and len(each) == 1 for each in data)
    return [each[0] for each in data] if nested else data


def _check_integers(elements: Elements, datatype: str, where: str, faults: Faults) -> None:
    limits = np.iinfo(NUMBERS[datatype])
    for row, element in enumerate(elements):
        beyond = isinstance(element, int) and not limits.min <= element <= limits.max
        if isinstance(element, float) or beyond:
            faults.add(f"{where}[{row}]", f"found {str(element)[:32]}, which is no {datatype}")


def _texts(raw: bytes, rows: int, where: str, faults: Faults) -> Elements | None:
    texts: list[bytes] = []
    at = 0
    while len(texts) < rows:
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(raw, at)[0] if start <= len(raw) else start
        if at > len(raw):
            faults.add(f"{where}[{len(texts)}]", f"ends {at - len(raw)} bytes behind the tensor")
            return None
        texts.append(raw[start:at])
    if at < len(raw):
        faults.add(f"{where}.data", f"found {len(raw) - at} bytes behind its {rows} elements")
        return None
    return _decoded(texts, where, faults)


def _decoded(texts: list[bytes], where: str, faults: Faults) -> Elements | None:
    decoded = []
    for row, text in enumerate(texts):
        try:
            decoded.append(text.decode())
        except UnicodeDecodeError:
            faults.add(f"{where}[{row}]", "is no UTF-8")
    return decoded if len(decoded) == len(texts) else None
