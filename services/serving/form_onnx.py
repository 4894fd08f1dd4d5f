"""The ONNX form, run by ONNX Runtime: tens of microseconds a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime

from services.core.artifacts import ONNX_FILE
from services.core.spec import Feature, ModelSpec, Numeric
from services.serving.form import Row, Unloadable, cell, probability

PROBABILITIES: Final = "probabilities"


@dataclass(frozen=True, slots=True)
class OnnxForm:
    """See `Form`."""

    columns: tuple[tuple[str, bool], ...]
    """(feature, is it numeric), in the order of the spec."""
    session: Any
    run: Callable[..., Any]
    """What `session.run` calls after it compared the names of all inputs, which takes a third of its time."""
    row: dict[str, np.ndarray]
    """One array of shape [1, 1] per feature, filled anew for each row: making arrays costs as much as the model."""

    def score(self, values: Row) -> float:
        for name, numeric in self.columns:
            self.row[name][0, 0] = cell(values, name, numeric)
        return probability(self.run([PROBABILITIES], self.row, None)[0][0, 1])

    def score_many(self, rows: Sequence[Row]) -> list[float]:
        if not rows:
            return []
        feed = {name: _column(rows, name, numeric) for name, numeric in self.columns}
        return [probability(score) for score in self.session.run([PROBABILITIES], feed)[0][:, 1]]


def open_onnx(spec: ModelSpec, content: bytes) -> OnnxForm:
    """Raises `Unloadable`."""
    session = _session(content)
    _check_signature(spec, session)
    return OnnxForm(
        columns=tuple((feature.name, isinstance(feature.kind, Numeric)) for feature in spec.features),
        session=session,
        run=session._sess.run,  # noqa: SLF001 - see the field; the names were compared here, once
        row={feature.name: _empty(feature) for feature in spec.features},
    )


def _session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    # One row takes microseconds; handing parts of it to other threads takes longer, and the workers share the cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Unloadable(f"{ONNX_FILE} is no model that ONNX Runtime loads: {error}") from error


def _check_signature(spec: ModelSpec, session: Any) -> None:
    found = {each.name: each.type for each in session.get_inputs()}
    expected = {
        each.name: "tensor(float)" if isinstance(each.kind, Numeric) else "tensor(string)" for each in spec.features
    }
    if found != expected:
        raise Unloadable(f"{ONNX_FILE} takes {found}, expected {expected}")
    if PROBABILITIES not in {each.name for each in session.get_outputs()}:
        raise Unloadable(f"{ONNX_FILE} has no output {PROBABILITIES!r}")


def _empty(feature: Feature) -> np.ndarray:
    return np.zeros((1, 1), np.float32) if isinstance(feature.kind, Numeric) else np.full((1, 1), "", dtype=object)


def _column(rows: Sequence[Row], name: str, numeric: bool) -> np.ndarray:
    cells = [[cell(row, name, numeric)] for row in rows]
    return np.array(cells, dtype=np.float32 if numeric else object)
