"""`bellwether availability`: what was found of each feature over a range of event time, as a table or as JSON."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from monitoring.entrypoints.tables import aligned
from monitoring.evaluation.availability_report import QUANTILES, availability_report
from monitoring.evaluation.history_check import percent
from monitoring.evaluation.windows import SAMPLE_LIMIT, Window
from services import bootstrap
from services.core.clock import require_aware
from services.core.errors import SettingsError
from services.core.features import Status
from services.core.ports import Records
from services.core.records import ResultStatus
from services.core.spec import ModelSpec
from services.models.discovery import spec_of
from services.serving.availability import in_words
from services.settings import Settings

DAY: Final = timedelta(days=1)
LENGTH: Final = re.compile(r"(\d{1,4}) ?(s|min|h|d)")
UNITS: Final = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
NONE: Final = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which answers: from `since` or `last` before the end, up to `until`; None leaves a bound to the records."""

    since: datetime | None = None
    until: datetime | None = None
    last: timedelta | None = None
    version: str | None = None

    @classmethod
    def of(cls, *, since: str | None, until: str | None, last: str | None, version: str | None) -> Self:
        """Raises `SettingsError` for what is no time, no length, or no range."""
        asked = cls(
            since=_moment("--since", since), until=_moment("--until", until), last=_length(last), version=version
        )
        if asked.since and asked.last:
            raise SettingsError("--since and --last both say where the range begins; give one of them")
        if asked.since and asked.until and asked.since >= asked.until:
            raise SettingsError(f"--since {since} is not before --until {until}; turn them round")
        return asked

    def window(self, newest: datetime) -> Window:
        """The range. It ends just behind the `newest` answer and is a day long unless it was asked for otherwise."""
        end = self.until or max(newest.replace(microsecond=0) + timedelta(seconds=1), self.since or newest)
        try:
            return Window(self.since or end - (self.last or DAY), end)
        except OverflowError as error:
            raise SettingsError(f"a range up to {end.isoformat()} begins before the calendar does") from error


def availability_now(
    settings: Settings,
    model: str,
    *,
    since: str | None = None,
    until: str | None = None,
    last: str | None = None,
    version: str | None = None,
    limit: int = SAMPLE_LIMIT,
) -> dict[str, Any]:
    """The report on the answers made in [since, until), JSON-ready; `status` is `not_enough_data` without any.

    Times are ISO 8601 with an offset, lengths such as 90min, 36h or 7d. Of more than `limit` answers an evenly spread
    sample is read: `sampled` of `answers`.

    Raises:
        SettingsError: a time or a length cannot be read, or the range ends before it begins.
    """
    asked = Asked.of(since=since, until=until, last=last, version=version)
    spec, store = spec_of(model), bootstrap.record_store_to_read(settings)
    try:
        return _report(spec, store, asked, limit, now=bootstrap.clock_of_records(settings)())
    finally:
        store.close()


def lines(report: Mapping[str, Any]) -> list[str]:
    """The report for people: who answered, a row per feature, and why the model did not answer."""
    if report["status"] != ResultStatus.OK:
        return [report["reason"]]
    answered = ", ".join(f"{_spoken(who)} {percent(share)}" for who, share in report["served_by"].items())
    return [
        f"{_subject(report)}, {report['from']} to {report['until']}: {_counted(report)}",
        f"answered by {answered}",
        "",
        *aligned(_table(report["features"])),
        *_why(report["reasons"]),
    ]


def _report(spec: ModelSpec, store: Records, asked: Asked, limit: int, *, now: datetime) -> dict[str, Any]:
    newest = store.last_made_at(spec.name, version=asked.version, until=None if asked.until else now)
    about = {"model": spec.name, "version": asked.version, "from": None, "until": None}
    if newest is None:
        return _empty(about, f"no predictions of {_subject(about)} are recorded")
    window = asked.window(newest)
    about |= {"from": window.start.isoformat(), "until": window.end.isoformat()}
    chosen: Any = {"made_from": window.start, "made_until": window.end, "version": asked.version}
    answers = store.count_made(spec.name, **chosen)
    if not answers:
        between = f"between {about['from']} and {about['until']}"
        return _empty(about, f"no predictions of {_subject(about)} {between}; the newest is of {newest.isoformat()}")
    rows = store.judged(spec.name, **chosen, limit=limit)
    found = availability_report(spec, [row.prediction for row in rows])
    return about | {"answers": answers, "sampled": len(rows), "status": ResultStatus.OK.value} | found


def _empty(about: dict[str, Any], reason: str) -> dict[str, Any]:
    return about | {"answers": 0, "sampled": 0, "status": ResultStatus.NOT_ENOUGH_DATA.value, "reason": reason}


def _subject(about: Mapping[str, Any]) -> str:
    return f"{about['model']} {about['version']}" if about["version"] else str(about["model"])


def _counted(report: Mapping[str, Any]) -> str:
    answers, sampled = report["answers"], report["sampled"]
    if sampled == answers:
        return f"{answers:,} answers"
    return f"{answers:,} answers, of which {sampled:,}, evenly spread, are counted here"


def _table(features: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A heading and a row per feature, without the columns in which nothing happened."""
    seen = [status for status in Status if any((each["status"] or {}).get(status) for each in features.values())]
    imputed = ["imputed"] if any(each["imputed"] for each in features.values()) else []
    ages = ("age p50", "p90", "p99", "oldest", "max age")
    heading = ["feature", "n", *map(_spoken, seen), *imputed, *ages, "by rule: alone", "with others"]
    return [heading, *(_row(name, found, seen, imputed) for name, found in features.items())]


def _row(name: str, found: Mapping[str, Any], seen: Iterable[Status], imputed: Iterable[str]) -> list[str]:
    shares, ages, kept = found["status"] or {}, found["age_seconds"] or {}, found["kept_from_model"] or {}
    return [
        name,
        f"{found['n']:,}",
        *(_share(shares.get(status)) for status in seen),
        *(_share(found[column]) for column in imputed),
        *(_words(ages.get(each)) for each in QUANTILES),
        _words(found["max_age_seconds"]),
        _share(kept.get("alone")),
        _share(kept.get("with_others")),
    ]


def _why(reasons: Iterable[Mapping[str, Any]]) -> list[str]:
    told = aligned([[f"  {each['reason']}", percent(each["share"])] for each in reasons])
    return ["", "why the model did not answer, as shares of those answers:", *told] if told else []


def _share(share: float | None) -> str:
    """Nothing is a dash, so that what happened stands out."""
    return percent(share) if share else NONE


def _words(seconds: float | None) -> str:
    return NONE if seconds is None else in_words(seconds)


def _spoken(word: str) -> str:
    return word.replace("_", " ")


def _moment(flag: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return require_aware(datetime.fromisoformat(text), name="the time")
    except (ValueError, OverflowError) as error:
        expected = "a time with its offset, such as 2026-03-01T12:00:00Z"
        raise SettingsError(f"{flag} is {text!r}; expected {expected}") from error


def _length(text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = LENGTH.fullmatch(text)
    if found is None or not int(found[1]):
        raise SettingsError(f"--last is {text!r}; expected a length such as 90min, 36h or 7d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})
