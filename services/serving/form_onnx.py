"""The ONNX form, run by ONNX Runtime: some ten microseconds a row."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime

from services.core.artifacts import ONNX_FILE, PROBABILITIES, ROW
from services.core.features import Value
from services.core.spec import ModelSpec, Numeric
from services.serving.form import Row, Unloadable, Untrained, probability
from services.serving.onnx_packing import GAP, Codes, Packed, has_row, pack
from services.serving.onnx_rewriting import rewrite

_NUMBERS: Final = {onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT}
"""What the inputs of numbers may be: of versions of now, and of before."""


@dataclass(frozen=True, slots=True)
class OnnxForm:
    """See `Form`."""

    columns: tuple[tuple[str, Codes | None], ...]
    """(feature, codes of its categories or None for a number), in the order of the spec."""
    run: Callable[..., Any]
    """What `session.run` calls after it compared the names of the inputs, which takes longer than a small model."""
    output: str
    dtype: type[np.floating[Any]]

    def score(self, values: Row) -> float:
        return probability(self._positive((values,))[0])

    def score_many(self, rows: Sequence[Row]) -> list[float]:
        return [probability(score) for score in self._positive(rows)] if rows else []

    def _positive(self, rows: Sequence[Row]) -> np.ndarray:
        packed = np.array([self._packed(row) for row in rows], self.dtype)
        return self.run([self.output], {ROW: packed}, None)[0][:, -1]  # type: ignore[no-any-return]  # the runtime has no types

    def _packed(self, values: Row) -> list[Value]:
        try:
            return [
                values.get(name, math.nan) if codes is None else codes[str(values.get(name, GAP))]
                for name, codes in self.columns
            ]
        except KeyError:
            raise self._untrained(values) from None

    def _untrained(self, values: Row) -> Untrained:
        """Of the first feature whose word has no code."""
        name, word, codes = next(
            (name, word, codes)
            for name, codes in self.columns
            if codes is not None and (word := str(values.get(name, GAP))) not in codes
        )
        return Untrained(name, word, [each for each in codes if each != GAP])


def open_onnx(spec: ModelSpec, content: bytes) -> OnnxForm:
    """Raises `Unloadable`."""
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        raise Unloadable(f"{ONNX_FILE} is no ONNX model: {error}") from error
    _check_signature(spec, model)
    packed = _packed(spec, model)
    return OnnxForm(
        columns=tuple(zip(spec.feature_names, packed.codes, strict=True)),
        run=_session(packed.model.SerializeToString())._sess.run,  # noqa: SLF001 - see the field
        output=packed.output,
        dtype=packed.dtype,
    )


def _packed(spec: ModelSpec, model: onnx.ModelProto) -> Packed:
    try:
        return pack(model, spec) if has_row(model) else rewrite(model, spec)
    except Exception as error:  # a graph may be anything
        raise Unloadable(f"{ONNX_FILE} is no graph that can be packed: {error}") from error


def _check_signature(spec: ModelSpec, model: onnx.ModelProto) -> None:
    found = {each.name: each.type.tensor_type.elem_type for each in model.graph.input}
    number = next((kind for kind in found.values() if kind in _NUMBERS), onnx.TensorProto.DOUBLE)
    expected = {
        each.name: number if isinstance(each.kind, Numeric) else onnx.TensorProto.STRING for each in spec.features
    }
    if unlike := {name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)}:
        of_file, of_spec = (
            {name: kinds[name] for name in sorted(unlike & kinds.keys())} for kinds in (found, expected)
        )
        raise Unloadable(f"{ONNX_FILE} takes {_told(of_file)}, the spec has {_told(of_spec)}")
    if PROBABILITIES not in {each.name for each in model.graph.output}:
        raise Unloadable(f"{ONNX_FILE} has no output {PROBABILITIES!r}")


def _told(inputs: Mapping[str, int]) -> dict[str, str]:
    return {name: onnx.TensorProto.DataType.Name(kind).lower() for name, kind in inputs.items()}


def _session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    # One row takes microseconds; handing parts of it to other threads takes longer, and the workers share the cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Unloadable(f"{ONNX_FILE} is no model that ONNX Runtime loads: {error}") from error
