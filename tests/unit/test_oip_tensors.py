"""Elements of tensors to and from bytes."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.entrypoints.oip.tensors import BYTES, FP64, NUMBERS, from_bytes, inputs_of, to_bytes
from services.models.discovery import discover
from services.serving.requests import Faults
from tests.toy import toy_spec


def read(raw: bytes, datatype: str, rows: int) -> list[Any] | None:
    faults = Faults()
    elements = from_bytes(raw, datatype, rows, "inputs.x", faults)
    assert (elements is None) == bool(faults.found)
    return elements


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_come_back_from_their_bytes(texts: list[str]) -> None:
    assert read(to_bytes(texts, BYTES), BYTES, len(texts)) == texts


@given(st.lists(st.none() | st.floats(allow_nan=False)))
def test_numbers_come_back_from_their_bytes_and_no_value_is_a_nan(numbers: list[float | None]) -> None:
    raw = to_bytes(numbers, FP64)
    assert [math.isnan(each) for (each,) in struct.iter_unpack("<d", raw)] == [each is None for each in numbers]
    assert read(raw, FP64, len(numbers)) == numbers


@given(st.binary(max_size=64), st.sampled_from([BYTES, *NUMBERS]), st.integers(0, 8))
def test_whatever_bytes_there_are_is_read_or_refused(raw: bytes, datatype: str, rows: int) -> None:
    elements = read(raw, datatype, rows)
    assert elements is None or len(elements) == rows


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01\0\0", b"\xff\xff\xff\xffu", b"\x02\0\0\0u", b"\x01\0\0\0uv", b"\x01\0\0\0\xff"],
    ids=["nothing", "half a length", "a huge length", "half a text", "something behind", "no UTF-8"],
)
def test_a_text_that_is_not_as_long_as_it_says_or_no_text_is_refused(raw: bytes) -> None:
    assert read(raw, BYTES, 1) is None


@pytest.mark.parametrize(("datatype", "size"), [(name, numbers.itemsize) for name, numbers in NUMBERS.items()])
def test_numbers_of_another_width_than_their_type_are_refused(datatype: str, size: int) -> None:
    assert read(bytes(3 * size), datatype, 3) == [0, 0, 0]
    assert read(bytes(3 * size - 1), datatype, 3) is None
    assert read(bytes(3 * size + 1), datatype, 3) is None


@pytest.mark.parametrize("spec", [toy_spec(), *discover().values()], ids=lambda spec: spec.name)
def test_no_feature_of_a_model_has_the_name_of_another_input(spec: Any) -> None:
    asked = [feature.name for feature in spec.features if feature.source.value == "request"]
    assert len(inputs_of(spec)) == 3 + len(asked)
