"""Pipelines of scikit-learn on the Telco file: what serves each, whether it answers alike, and how fast."""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
import pandas as pd
import uvloop
from numpy.typing import NDArray

import services.models.churn
from monitoring.entrypoints.lifecycle import open_workshop
from monitoring.lifecycle.domain import permitted_rows
from monitoring.lifecycle.packaging import NotServable, Served, serve
from monitoring.lifecycle.promote import await_fleet, promote
from monitoring.lifecycle.retrain import Workshop
from services.core.artifacts import CALIBRATION_FILE, MANIFEST_FILE, REFERENCE_FILE, Manifest, encoded, sha256_of
from services.core.predictions import ServedBy
from services.core.records import VersionRecord
from services.core.spec import Feature, Numeric
from services.models.churn.spec import SPEC
from services.serving.form import Form, Row
from services.settings import Settings
from services.traffic.history import CsvRow, read_history
from services.traffic.mapping import load_mapping
from tests.benchmarks.contestants import OURS, Contestant, running
from tests.benchmarks.load import load
from tests.benchmarks.machine import described
from tests.benchmarks.workbench import MODEL, set_up
from tests.pipelines import KINDS, Kind

MAPPING: Final = Path(services.models.churn.__file__).parent / "telco.toml"
CONNECTIONS: Final = 8
BY_MODEL: Final = f'"served_by":"{ServedBy.MODEL}"'.encode()
WARM_UP_SECONDS: Final = 0.3

HEAD: Final = (
    "| pipeline | served by | largest difference over the domain | µs a row | requests a second | why not ONNX |\n"
    "|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A service that runs, and the workshop that changes its champion."""

    workshop: Workshop
    service: Contestant
    like: Manifest
    """Of the version that it began with."""
    files: dict[str, bytes]
    """What each version needs beside its served form."""


def run(path: Path, *, names: Sequence[str], seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """A row per pipeline whose name holds one of `names`, of all without any."""
    warnings.simplefilter("ignore")
    data = {gaps: _rows_of(path, gaps=gaps) for gaps in (False, True)}
    chosen = {name: kind for name, kind in KINDS.items() if not names or any(each in name for each in names)}
    rows = []
    with _serving() as bench:
        for name, kind in chosen.items():
            rows.append(_measured(bench, name, kind, *data[kind.gaps], seconds=seconds))
            say(_line(rows[-1]))
    return {"machine": described(), "rows": rows}


def table(result: dict[str, Any]) -> str:
    """As Markdown, and what it comes to."""
    served = [row for row in result["rows"] if not row["refused"]]
    forms = ", ".join(
        f"{sum(row['form'] == form for row in served)} by {form} "
        f"({statistics.median(row['per_second'] for row in served if row['form'] == form):,.0f} requests a second)"
        for form in sorted({row["form"] for row in served})
    )
    worst = max((row["parity"] for row in served), default=0.0)
    refused = len(result["rows"]) - len(served)
    told = f"{len(result['rows'])} pipelines: {forms}; {refused} refused; largest difference {worst:.1e}"
    return "\n".join([HEAD, *map(_line, result["rows"]), "", told])


def _line(row: dict[str, Any]) -> str:
    if row["refused"]:
        return f"| {row['name']} | refused | | | | {row['refused']} |"
    return (
        f"| {row['name']} | {row['form']} | {row['parity']:.1e} | {row['microseconds']:.0f} | "
        f"{row['per_second']:,.0f} | {row['not_converted']} |"
    )


@contextmanager
def _serving() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="bellwether-bench-") as name:
        directory = Path(name)
        settings = Settings(home=directory / "home")
        bench = set_up(directory, settings)
        kept = bench.onnx.parent
        files = {name: (kept / name).read_bytes() for name in (REFERENCE_FILE, CALIBRATION_FILE)}
        like = msgspec.json.decode((kept / MANIFEST_FILE).read_bytes(), type=Manifest)
        with running(OURS, bench, workers=1) as service, open_workshop(settings, lambda _: None) as workshop:
            yield Bench(workshop, service, like, files)


def _measured(
    bench: Bench, name: str, kind: Kind, rows: pd.DataFrame, target: NDArray[Any], *, seconds: float
) -> dict[str, Any]:
    estimator = kind.make().fit(rows, target)
    try:
        served = serve(kind.spec, estimator, permitted_rows(kind.spec, estimator, rows))
    except NotServable as refused:
        return {"name": name, "refused": str(refused)}
    version = _promoted(bench, served)
    return {
        "name": name,
        "refused": "",
        "version": version,
        "form": served.served_form.value,
        "parity": served.parity,
        "not_converted": served.not_converted,
        "microseconds": _seconds_a_row(served.form, cast("list[Row]", rows.head(200).to_dict("records"))) * 1e6,
        "per_second": _requests_a_second(bench.service, seconds=seconds),
    }


def _promoted(bench: Bench, served: Served) -> str:
    """The service answers with it; its version."""
    workshop, now = bench.workshop, datetime.now(UTC)
    files = bench.files | {served.served_form.file: served.content}
    manifest = msgspec.structs.replace(
        bench.like,
        version=workshop.models.next_version(MODEL),
        created_at=now,
        files={name: sha256_of(content) for name, content in files.items()},
        served_form=served.served_form,
        not_converted=served.not_converted,
        parity=served.parity,
        canary=[
            msgspec.structs.replace(case, score=served.form.score(cast("Row", case.features)))
            for case in bench.like.canary
        ],
    )
    workshop.models.add(manifest, files)
    workshop.store.add_version(
        VersionRecord(
            model=MODEL,
            version=manifest.version,
            registered_at=now,
            training_set=manifest.training_set,
            training_set_sha256=manifest.training_set_sha256,
            training_rows=manifest.training_rows,
            evidence={},
            manifest_sha256=sha256_of(encoded(manifest)),
        )
    )
    promote(
        SPEC,
        manifest.version,
        store=workshop.store,
        models=workshop.models,
        fleet=workshop.fleet,
        now=now,
        reason="measured",
    )
    if behind := await_fleet(workshop.fleet, MODEL, manifest.version):
        raise RuntimeError(f"{manifest.version}: {', '.join(behind)}")
    return manifest.version


def _seconds_a_row(form: Form, rows: list[Row]) -> float:
    """Of rows that are scored one by one, for a second, the fastest tenth: other work disturbs the others."""
    took: list[float] = []
    for row in rows:
        began = time.perf_counter()
        form.score(row)
        took.append(time.perf_counter() - began)
        if sum(took) > 1:
            break
    return float(np.quantile(took, 0.1))


def _requests_a_second(service: Contestant, *, seconds: float) -> float:
    """Of whole answers over HTTP: features looked up and checked, scored by the model, recorded."""
    for length in (WARM_UP_SECONDS, seconds):
        measured = uvloop.run(
            load(service.port, service.requests, connections=CONNECTIONS, seconds=length, marks=(BY_MODEL,))
        )
        if measured.failed or measured.bodies[BY_MODEL] != len(measured.latencies):
            raise RuntimeError(
                f"{measured.failed} failed, {len(measured.latencies)} answers, {measured.bodies} by model"
            )
    return float(measured.per_second)


def _rows_of(path: Path, *, gaps: bool) -> tuple[pd.DataFrame, NDArray[Any]]:
    """The Telco file in the words of churn; customers before their first invoice only where gaps may be."""
    found = read_history(path, load_mapping(MAPPING, SPEC), SPEC)
    lines = [
        {each.name: _cell(each, row) for each in SPEC.features} | {"churned": row.outcome == SPEC.task.positive}
        for row in found.rows
    ]
    frame = pd.DataFrame(lines)
    frame = frame if gaps else frame.dropna(ignore_index=True)
    return frame[list(SPEC.feature_names)], frame["churned"].to_numpy(dtype=int)


def _cell(feature: Feature, row: CsvRow) -> Any:
    value = (row.request | row.feed).get(feature.name)
    return (float("nan") if isinstance(feature.kind, Numeric) else "") if value is None else value
