"""The overview page: one HTML file without scripts, drawn from stored results at each call."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec

from monitoring.entrypoints.charts import marker_strip
from monitoring.entrypoints.overview import Overview, by_traffic
from monitoring.entrypoints.panels import (
    History,
    answered_panel,
    auc_panel,
    drift_panel,
    markers,
    money_panel,
    ratio,
)
from monitoring.entrypoints.wording import Statement, day, present, served_slowly, unasked
from services.core.clock import EPOCH
from services.core.ports import RecordStore
from services.core.records import EvaluationResult, ResultKind, ResultStatus
from services.core.spec import Good, Measure

STYLE: Final = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")

PAGE_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
"""Nothing is loaded and nothing runs; the one style sheet is allowed by its hash."""

REFRESH_SECONDS: Final = 5
BAR: Final = 130


@dataclass(slots=True)
class Drawn:
    """What was drawn of each model, for the next one who asks: a page is asked for every few seconds by each who looks
    at it, and most models have nothing new by then. From any thread; two that ask at once may both draw."""

    _sections: dict[str, tuple[Overview, str]] = field(default_factory=dict)
    _histories: dict[str, tuple[Sequence[EvaluationResult], History]] = field(default_factory=dict)

    def section(self, state: Overview, store: RecordStore) -> str:
        shown, known = _as_shown(state), self._sections.get(state.spec.name)
        if known is None or known[0] != shown:
            known = self._sections[state.spec.name] = (shown, _section(state, self._history(state, store)))
        return known[1]

    def _history(self, state: Overview, store: RecordStore) -> History:
        """Hundreds of stored results, which are others only once the newest are."""
        known = self._histories.get(state.spec.name)
        if known is None or known[0] != state.results:
            known = self._histories[state.spec.name] = (state.results, History.of(state, store))
        return known[1]


def page(states: Sequence[Overview], *, store: RecordStore, drawn: Drawn | None = None) -> str:
    """The models that were asked something, one under the other, and a line for each other one.

    Everything that was recorded is escaped. A model of which `drawn` has what would be drawn now costs nothing.
    """
    drawn = drawn or Drawn()
    asked = [state for state in by_traffic(states) if not state.unasked]
    sections = "".join(drawn.section(state, store) for state in asked)
    body = sections + _unasked([state for state in states if state.unasked]) or "<p>No model is declared.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><title>Bellwether</title><style>{STYLE}</style></head>'
        f'<body><main><p class="mark">bellwether</p>{body}{_foot(states)}</main></body></html>'
    )


def _as_shown(state: Overview) -> Overview:
    """Without what changes from second to second and is not to be seen."""
    workers = [msgspec.structs.replace(worker, at=EPOCH) for worker in state.workers]
    return replace(state, now=state.now.replace(second=0, microsecond=0), wall_now=EPOCH, workers=workers)


def _section(state: Overview, history: History) -> str:
    span, marks = history.span(state.now), markers(state, history)
    charts = [
        marker_strip(span, marks),
        _titled("AUC", "per version with its 90 % interval, and the rule on the same answers"),
        auc_panel(state, history, span, marks),
        _titled("Drift of the inputs", "distance from the training reference, as a multiple of each threshold"),
        drift_panel(history, span, marks),
        _titled("Who answered", "share of the newest window"),
        answered_panel(history, span, marks),
        _money(state, history),
        '<div class="halves">',
        *(_features(state), _slices(state)),
        "</div>",
    ]
    return f"<section>{_head(state)}{_statement(present(state))}{_tiles(state)}{''.join(charts)}{_end(state)}</section>"


def _unasked(states: Sequence[Overview]) -> str:
    rows = "".join(f"<tr><td>{escape(state.spec.name)}<td>{escape(unasked(state))}</tr>" for state in states)
    return f'<section class="soft"><table>{rows}</table></section>' if rows else ""


def _head(state: Overview) -> str:
    serving = f"{escape(state.champion)} serves" if state.champion else "no version serves"
    workers = len(state.workers)
    silent = f" · {len(state.silent)} more that hang or were stopped" if state.silent else ""
    facts = f"{serving} · {workers} worker{'' if workers == 1 else 's'}{silent} · {escape(_moment(state.now))}"
    slowly = f'<p class="soft">{escape(served_slowly(state))}</p>' if state.not_converted else ""
    return (
        f"<header><h1>{escape(state.spec.name)}</h1>"
        f'<p class="soft">{facts}</p>'
        f'</header><p class="soft">{escape(state.spec.meaning)}</p>{slowly}'
    )


def _statement(statement: Statement) -> str:
    return f'<p class="now {statement.style}">{escape(statement.text)}</p>'


def _tiles(state: Overview) -> str:
    return (
        f'<div class="tiles">{_auc_tile(state)}{_drift_tile(state)}{_answered_tile(state)}{_earned_tile(state)}</div>'
    )


def _tile(name: str, figure: str, more: str) -> str:
    return f'<div class="tile"><span>{escape(name)}</span><b>{escape(figure)}</b><span>{escape(more)}</span></div>'


def _auc_tile(state: Overview) -> str:
    judged = [result for result in state.of(ResultKind.PERFORMANCE) if result.status is ResultStatus.OK]
    if not judged:
        return _tile("AUC", "–", _why(state, ResultKind.PERFORMANCE))
    newest = judged[-1]
    auc, rule = newest.body["auc"], newest.body["rule_auc"]["value"]
    more = f"{auc['low']:.2f} to {auc['high']:.2f} · rule {rule:.2f} · n {newest.body['n']:,}"
    return _tile(f"AUC of {newest.version}", f"{auc['value']:.2f}", more)


def _drift_tile(state: Overview) -> str:
    result = state.one(ResultKind.DRIFT)
    if result is None:
        return _tile("Drifted inputs", "–", _why(state, ResultKind.DRIFT))
    found = result.body["confirmed_features"]
    known = {name: each for name, found in result.body["features"].items() if (each := ratio(found)) is not None}
    worst = max(known, key=lambda name: known[name])
    return _tile("Drifted inputs", f"{len(found)} of {len(known)}", f"{worst} at {known[worst]:.1f} × threshold")


def _answered_tile(state: Overview) -> str:
    result = state.one(ResultKind.AVAILABILITY)
    if result is None:
        return _tile("Answered by the model", "–", _why(state, ResultKind.AVAILABILITY))
    share = result.body["served_by"]["model"]
    return _tile("Answered by the model", f"{share:.1%}", f"objective {state.spec.objectives.answered_by_model:.0%}")


def _earned_tile(state: Overview) -> str:
    result = state.one(ResultKind.BUSINESS)
    measure = next(each for each in state.spec.measures if each.good is Good.UP)
    effect = result.body["measures"][measure.name]["effect"] if result else None
    if result is None or effect is None or effect["status"] != ResultStatus.OK:
        return _tile("Earned by acting", "–", effect["reason"] if effect else _why(state, ResultKind.BUSINESS))
    earned = effect["earned"]
    days = (result.window_end - result.window_start).days
    more = f"{earned['low']:,.0f} to {earned['high']:,.0f} · {days} days"
    return _tile("Earned by acting", f"{earned['value']:,.0f} {measure.unit}", more)


def _why(state: Overview, kind: ResultKind) -> str:
    """Why there is no figure: the newest result's reason."""
    newest = state.of(kind)
    return str(newest[-1].body.get("reason", newest[-1].status.value)) if newest else "not judged yet"


def _money(state: Overview, history: History) -> str:
    span, marks = history.span(state.now), markers(state, history)
    halves = "".join(
        f"<div>{_titled(measure.name.replace('_', ' '), _effect(state, measure))}"
        f"{money_panel(state, measure, history, span, marks)}</div>"
        for measure in state.spec.measures
    )
    return f'<div class="halves">{halves}</div>'


def _effect(state: Overview, measure: Measure) -> str:
    """The measure's unit, and what acting on one entity changes."""
    result = state.one(ResultKind.BUSINESS)
    effect: dict[str, Any] = result.body["measures"][measure.name]["effect"] if result else {}
    if effect.get("status") != ResultStatus.OK:
        return f"{measure.unit} per answer"
    value, low, high = (
        f"{each:+,.0f}" if abs(each) >= 10 else f"{each:+,.1f}" for each in effect["per_entity"].values()
    )
    entity = state.spec.entity.removesuffix("_id")
    return f"{measure.unit} per answer · acting on one {entity}: {value} ({low} to {high})"


def _features(state: Overview) -> str:
    result = state.one(ResultKind.DRIFT)
    if result is None:
        return f"<div>{_titled('Features', '')}<p class='soft'>{escape(_why(state, ResultKind.DRIFT))}</p></div>"
    found = sorted(result.body["features"].items(), key=lambda each: -(ratio(each[1]) or 0.0))
    rows = "".join(_feature_row(name, each) for name, each in found)
    head = '<tr><th>feature<th class="number">distance<th>against its threshold<th class="number">unusable</tr>'
    return f"<div>{_titled('Features', f'{result.n:,} newest answers')}<table>{head}{rows}</table></div>"


def _feature_row(name: str, found: dict[str, Any]) -> str:
    if found["status"] != ResultStatus.OK:
        return f'<tr><td>{escape(name)}<td colspan="3" class="soft">{escape(found["reason"])}</tr>'
    return (
        f'<tr><td>{escape(name)}<td class="number">{found["score"]:.2f}<td>{_bar(ratio(found) or 0.0)}'
        f'<td class="number">{found["unusable_share"]:.1%}</tr>'
    )


def _bar(share: float) -> str:
    """A bar whose dark edge is the threshold, at two thirds of the width."""
    threshold = BAR * 2 / 3
    width = min(share * threshold, BAR)
    return (
        f'<svg viewBox="0 0 {BAR} 10"><rect class="bar {"over" if share > 1 else ""}" width="{width:.1f}" height="10"/>'
        f'<rect class="bar edge" x="{threshold:.1f}" width="1" height="10"/></svg>'
    )


def _slices(state: Overview) -> str:
    judged = [result for result in state.of(ResultKind.PERFORMANCE) if result.status is ResultStatus.OK]
    if not judged:
        return (
            f"<div>{_titled('AUC by slice', '')}<p class='soft'>{escape(_why(state, ResultKind.PERFORMANCE))}</p></div>"
        )
    rows = "".join(_slice_rows(judged[-1]))
    head = '<tr><th>slice<th class="number">answers<th class="number">AUC<th class="number">90 % interval</tr>'
    return f"<div>{_titled('AUC by slice', judged[-1].version)}<table>{head}{rows}</table></div>"


def _slice_rows(result: EvaluationResult) -> Iterable[str]:
    for feature, groups in result.body["slices"].items():
        for group, found in groups.items():
            name = f"<tr><td>{escape(feature)} = {escape(group)}"
            if found["status"] != ResultStatus.OK:
                short = f"{found['n']} of the {found['needed']} answers that it takes"
                yield f'{name}<td colspan="3" class="soft">{short}</tr>'
                continue
            auc = found["auc"]
            yield (
                f'{name}<td class="number">{found["n"]:,}<td class="number">{auc["value"]:.2f}'
                f'<td class="number">{auc["low"]:.2f} to {auc["high"]:.2f}</tr>'
            )


def _end(state: Overview) -> str:
    counts, name = state.counts, escape(state.spec.name)
    orphans = f" · {counts.orphan_outcomes:,} outcomes without a prediction" if counts.orphan_outcomes else ""
    return (
        f'<p class="end soft">{counts.predictions:,} predictions · {counts.outcomes:,} outcomes{orphans} · '
        f'<a href="/reports/{name}/latest">drift report</a> · <a href="/reports/{name}">all reports</a></p>'
    )


def _foot(states: Sequence[Overview]) -> str:
    """What is not any one model's."""
    dead = max((state.counts.dead_letters for state in states), default=0)
    letters = f"{dead:,} dead letters · " if dead else ""
    return f'<footer>{letters}<a href="/status">status</a> · <a href="/metrics">metrics</a></footer>'


def _titled(title: str, more: str) -> str:
    return f"<h2>{escape(title)}<small>{escape(more)}</small></h2>"


def _moment(moment: datetime) -> str:
    return f"{day(moment)} {moment:%Y, %H:%M} UTC"
