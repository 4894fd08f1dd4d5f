"""What the rooms need from the outside.

`EventLog`, `RecordStore` and `OnlineFeatures` have several adapters each, and a contract suite in tests/contract/.
`ModelStore` and `Fleet` have one; they stand here so that monitoring needs nothing of the services but this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from services.core.artifacts import Manifest, WorkerReport
from services.core.errors import ContentRefused, EventLogUnavailable
from services.core.events import Event, LoggedEvent
from services.core.features import Reading, Readings, WriteResult
from services.core.predictions import PredictionMade
from services.core.records import (
    AliasChange,
    Batch,
    DeadLetter,
    EvaluationResult,
    Job,
    JobState,
    Judged,
    Lease,
    Position,
    ResultKind,
    Stored,
    VersionRecord,
)


class Appended(msgspec.Struct, frozen=True):
    """What an append did. `existing` is the event that already had this id (nothing was written), or None."""

    position: int
    existing: Event | None = None


Settled = Appended | EventLogUnavailable | ContentRefused
"""What became of an event: its position, or why it is not in the log: for now, or for what it holds."""


class EventLog(Protocol):
    """The durable outbox, shared by every worker of a machine.

    Ordering: positions rise in the order of commits; a reader never sees position n after it has seen a larger one.
    Durability: an append's future resolves after its events would survive kill -9 and loss of power.
    Threads: every method may be called from any thread.
    """

    def identity(self) -> str:
        """A random id that the log got when it was made. Positions in it are positions in no other log."""
        ...

    def append(self, *events: Event) -> Future[list[Settled]]:
        """Add each event unless its id is already there. What became of it stands at its place in the result.

        A future that is cancelled in time leaves no event.
        """
        ...

    def find(self, event_id: str) -> Event | None: ...

    def latest_outcomes(self, model: str, prediction_id: str, *, before: int | None = None) -> list[LoggedEvent]:
        """Of the outcomes of this prediction those with the latest `time`, the one appended last first.

        Of more than thirty at one moment those appended last.

        Args:
            before: look at those with smaller positions alone.
        """
        ...

    def read(self, *, after: int, limit: int) -> list[LoggedEvent]:
        """Events with positions above `after`, oldest first; an empty list means that there are none yet."""
        ...

    def ids(self, *, after: int, limit: int) -> list[tuple[int, str]]:
        """(position, event id) of what `read` would return, without the data."""
        ...

    def end(self) -> int:
        """The newest position, 0 for an empty log."""
        ...

    def position_before(self, moment: datetime) -> int:
        """The position behind which all lies that was appended at this moment or later, by the machine's clock."""
        ...

    def close(self) -> None:
        """Make every accepted append durable, then release the log."""
        ...


class OnlineFeatures(Protocol):
    """Values with their own timestamps, one set per model and entity.

    Writing an older value over a newer one is ignored: the latest `observed_at` wins, and of two at the same moment the
    one that was written last. What somebody else has put in a value's place, and cannot be read as one, counts as
    absent: it is not found, and any write takes its place.
    """

    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> Readings:
        """One look-up for all names; absent features are absent from the answer.

        Raises `FeatureSourceDown`, and `ContentRefused` for an entity that none can have been written of.
        """
        ...

    async def write(
        self, model: str, entity_id: str, readings: Mapping[str, Reading], *, not_after: datetime | None = None
    ) -> dict[str, WriteResult]:
        """Keep what is not older than what is there; returns what became of each reading.

        What is there from beyond `not_after` was written while a clock was ahead. It is never newer: it would win over
        every true value until then. Raises `FeatureSourceDown`, and `ContentRefused` for what cannot be kept.
        """
        ...

    async def close(self) -> None: ...


class Records(Protocol):
    """Predictions and outcomes, and how far each consumer has read. All times are aware UTC."""

    def commit(
        self, batch: Batch, *, consumer: str, position: int, start: int | None = None, last_event: str = ""
    ) -> Stored:
        """Add the batch's rows and move the consumer's position, in one transaction. It only moves forwards: a consumer
        whose partition has gone to another may still come with what it had read.

        Rows whose event id is already stored are counted as duplicates and left as they are. Dead letters are always
        taken, whatever is in them, as `services.core.letters` says.

        Args:
            start: where the batch begins in the log. A store whose position lies before it lacks what came between.
            last_event: the id of the last event before `position`; it is kept as `findable` has it.

        Raises:
            ContentRefused: a row holds what the store cannot keep; nothing of the batch was stored.
            StoreFailed: the store cannot tell an outage from such a row.
            PositionLost: reason `store_behind`; the position lies before `start`, as after a restored backup.
        """
        ...

    def position(self, consumer: str) -> int:
        """The offset of `committed`."""
        ...

    def committed(self, consumer: str) -> Position:
        """How far the consumer has come; the beginning for one that is not known."""
        ...

    def rewind(self, consumer: str, *, position: int) -> None:
        """Let the consumer read again from this position, if it stands behind it; consumers that are at work notice."""
        ...

    def judged(
        self,
        model: str,
        *,
        made_from: datetime,
        made_until: datetime,
        version: str | None = None,
        limit: int | None = None,
        settled: bool = False,
    ) -> list[Judged]:
        """Predictions made in [made_from, made_until), oldest first, each with its latest outcome.

        An outcome counts for the model it was sent to; one that names another model's prediction is kept and joined
        to nothing. With `limit`, a random sample of at most so many, which is
        the same whenever it is asked for and whose cost does not grow with the window.

        Args:
            settled: those with an outcome alone, and the sample is of them: any number of others takes no place in it.
                Where fewer than `limit` have one, the cost does grow with the window.
        """
        ...

    def judged_in_batches(
        self,
        model: str,
        *,
        made_from: datetime,
        made_until: datetime,
        version: str | None = None,
        limit: int | None = None,
        settled: bool = False,
        at_once: int = 2000,
    ) -> Iterator[list[Judged]]:
        """As `judged`, at most `at_once` in memory at the same time, none of the batches empty.

        A transaction stays open until the last one was taken, or the iterator is closed: take each within seconds.
        """
        ...

    def count_settled(self, model: str, *, made_from: datetime, made_until: datetime, at_most: int) -> int:
        """How many of the predictions in [made_from, made_until) have an outcome that says what happens when nobody
        acts. Counts no further than `at_most`, and reads no prediction's data."""
        ...

    def newest_of_entities(
        self, model: str, *, made_from: datetime, made_until: datetime, limit: int
    ) -> list[PredictionMade]:
        """The newest prediction of each entity in [made_from, made_until), oldest first.

        Of at most `limit` entities, drawn at random: each has the same chance, however often it was asked about. The
        cost grows with the window; this is for what is done once in a retraining.
        """
        ...

    def count_made(self, model: str, *, made_from: datetime, made_until: datetime, version: str | None = None) -> int:
        """How many predictions `judged` has without a limit."""
        ...

    def first_made_at(self, model: str) -> datetime | None: ...

    def last_made_at(self, model: str, *, version: str | None = None, until: datetime | None = None) -> datetime | None:
        """Without those after `until`: a clock that was ahead for a moment left some, and they are not the newest."""
        ...

    def stored_event_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these event ids are in the store as predictions or outcomes."""
        ...

    def stored_twice(self) -> int:
        """How many event ids stand in the store more than once; anything but 0 is a defect."""
        ...

    def dead_event_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these events have become dead letters, by the ids that they have in their log."""
        ...

    def dead_letters(self, *, limit: int, reason: str | None = None) -> list[DeadLetter]:
        """Newest first; of one reason alone, or of all."""
        ...

    def redeem(self, batch: Batch, *, origins: Sequence[str]) -> Stored:
        """Add the rows that dead letters have become, and remove the letters with these origins, in one transaction.

        Raises `ContentRefused` as `commit` does.
        """
        ...

    def counts(self, model: str | None = None) -> RecordCounts:
        """Totals of one model or of all. They are kept as rows come and go: the cost does not grow with the rows."""
        ...


class RecordCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of what is kept.

    `orphan_outcomes` are outcomes without a prediction of their model: it has not arrived, or is another model's.
    `dead_letters` are those of all models: what cannot be read has none.
    """

    predictions: int
    predictions_by: dict[str, int]
    """By `served_by`."""
    outcomes: int
    corrections: int
    orphan_outcomes: int
    dead_letters: int
    pruned: int = 0
    """Predictions and outcomes that were removed because they were too old; the other counts are without them."""


class Results(Protocol):
    def save_results(self, results: Iterable[EvaluationResult]) -> None: ...

    def results(
        self, model: str, kind: ResultKind, *, limit: int, until: datetime | None = None
    ) -> list[EvaluationResult]:
        """The newest `limit` results by window end, oldest first, without those that end after `until`.

        Who judges the present names it: what was judged while a clock was ahead would be the newest until then.
        """
        ...


class Jobs(Protocol):
    def open_job(
        self,
        *,
        model: str,
        trigger: str,
        dedupe_key: str,
        since: datetime,
        opened_at: datetime,
        note: str,
        evidence: dict[str, Any] | None = None,
    ) -> Job | None:
        """Open a waiting job, or return None when the model already has an open one.

        `evidence` is what the job starts with, in the same transaction (None: nothing).
        """
        ...

    def update_job(
        self,
        job_id: int,
        *,
        state: JobState,
        note: str,
        evidence: dict[str, Any] | None = None,
        closed_at: datetime | None = None,
    ) -> Job:
        """Set the job's state and note. `evidence` replaces what the job has, None leaves it."""
        ...

    def jobs(self, model: str, *, limit: int) -> list[Job]:
        """Newest first."""
        ...

    def with_open_job(self) -> set[str]:
        """The models that have an open job."""
        ...


class Versions(Protocol):
    def add_version(self, version: VersionRecord) -> None: ...

    def versions(self, model: str) -> list[VersionRecord]:
        """Oldest first."""
        ...

    def manifests(self, model: str) -> dict[str, str]:
        """version → SHA-256 of its manifest, of the versions for which it was recorded."""
        ...

    def move_alias(self, change: AliasChange) -> None:
        """Record the change and make it the alias's value, in one transaction."""
        ...

    def aliases(self, model: str) -> dict[str, str]:
        """alias → version."""
        ...

    def all_aliases(self) -> dict[str, dict[str, str]]:
        """model → alias → version, of the models that have any."""
        ...

    def alias_changes(self, model: str) -> list[AliasChange]:
        """Oldest first."""
        ...


class Leases(Protocol):
    """Who does what only one process may do. Times are those of the store's clock, which the processes share."""

    def acquire(self, name: str, *, holder: str, lasts: timedelta) -> Lease | None:
        """Take the lease, or renew it where `holder` has it already; None while another's has not expired.

        Every holder of a name has to ask for the same `lasts`: an end further away than that comes from a clock that
        has been set back since, and does not count.
        """
        ...

    def acquire_all(self, names: Sequence[str], *, holder: str, lasts: timedelta) -> dict[str, Lease]:
        """As `acquire` of each name, in one statement where `holder` has them already: those that it has now."""
        ...

    def release(self, lease: Lease) -> None:
        """Let others have it at once; does nothing when they have it already."""
        ...


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were removed."""

    predictions: int = 0
    outcomes: int = 0
    results: int = 0

    @property
    def rows(self) -> int:
        return self.predictions + self.outcomes + self.results


ALL_MODELS: Final = ""
"""The model of what belongs to none: dead letters, which nobody could read."""


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed in all, and how far: everything removed lay before `before` (None: nothing ever was)."""

    before: datetime | None
    predictions: int = 0
    outcomes: int = 0
    dead_letters: int = 0


class Retention(Protocol):
    """What has become too old to keep. Jobs, versions and changes of aliases stay: a handful a month, and asked for.

    Each removal says the day `as_of` which it is made. What it removed is noted under that day in the same
    transaction, so that an account can tell what was removed from what was lost.
    """

    def prune(self, model: str, *, before: datetime, as_of: datetime, limit: int) -> Pruned:
        """Remove, in one transaction and of each at most `limit`, the oldest first:

        predictions made before this moment, with all of their outcomes; outcomes observed before it whose prediction
        is not there; results of windows that ended before it. Call it again until it finds nothing.
        """
        ...

    def prune_dead_letters(self, *, before: datetime, as_of: datetime, limit: int) -> int:
        """Remove up to `limit` letters that were buried before this moment; returns how many."""
        ...

    def give_room_back(self) -> int:
        """Give some of the room of what was removed back to the disk, in milliseconds; returns how many bytes.

        Call it again until it finds nothing: a tenth is kept for the rows that come next. A database server, which
        gives room to later rows by itself, has nothing to give.
        """
        ...

    def removed(self, model: str, *, as_of: datetime | None = None) -> Removed:
        """What was removed of a model (`ALL_MODELS`: dead letters), on every day or as of this one."""
        ...

    def removed_as_of(self, *, until: datetime) -> datetime | None:
        """The latest day as of which a removal was made of any model, none after `until`."""
        ...

    def predictions_kept(self, model: str) -> int:
        """How many predictions of a model there are: exactly up to a million, about so many above.

        Its cost does not grow with them.
        """
        ...

    def days_made(self, model: str, *, since: datetime, until: datetime) -> list[datetime]:
        """The beginnings of the days (UTC) on which predictions were made from `since` to `until`, oldest first.

        Its cost grows with the days, not with the predictions.
        """
        ...


class RecordStore(Records, Results, Jobs, Versions, Leases, Retention, Protocol):
    """Records, positions, results, jobs, versions, aliases and leases in one database.

    Threads: every method may be called from any thread. Errors of the driver come out as `StoreUnavailable`, and as
    `ContentRefused` where waiting cannot help: the store takes other rows and will never take these.
    """

    def migrate(self) -> None:
        """Bring the schema to this version's; safe to call from several processes at once."""
        ...

    def fenced(self, lease: Lease) -> RecordStore:
        """This store for the holder of `lease`: once the lease has gone to another, no method that writes does so.

        They raise `LeaseLost` instead. The check and the writing are one transaction, so a process that slept through
        the loss of its lease cannot write what another has decided differently. Closing it closes this store.
        """
        ...

    def confirm(self) -> None:
        """Raises `LeaseLost` when this store is fenced and would refuse to write; else does nothing."""
        ...

    def close(self) -> None: ...


class ModelStore(Protocol):
    """Where versions lie. A version is complete or absent: it is written aside, synced, and renamed into place."""

    def next_version(self, model: str) -> str:
        """`v1`, `v2`, …: one above the newest that exists."""
        ...

    def add(self, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
        """Keep a version; writes the manifest and returns the version's directory.

        Raises `CorruptArtifact` when the files are not those of the manifest.
        """
        ...

    def directory(self, model: str, version: str) -> Path:
        """Raises `UnknownVersion`."""
        ...

    def read(self, model: str, version: str, name: str, *, manifest_sha256: str) -> bytes:
        """One of a version's files, which is the one that was registered.

        `manifest_sha256` is what the record of the version says of its manifest; "" where it says nothing.
        Raises `UnknownVersion`, and `CorruptArtifact` when the file or the manifest is another one.
        """
        ...

    def versions(self, model: str) -> list[str]:
        """Oldest first."""
        ...


class Fleet(Protocol):
    """How the lifecycle reaches the serving workers, which it never calls: an alias file down, reports up."""

    def publish(self, model: str, aliases: Mapping[str, str], *, manifests: Mapping[str, str] | None = None) -> None:
        """Let every worker know, atomically, which versions the aliases mean; workers follow on their own.

        `manifests` has the SHA-256 of these versions' manifests, as far as they are recorded.
        """
        ...

    def manifests(self, model: str) -> dict[str, str]:
        """version → SHA-256 of its manifest as last published."""
        ...

    def published(self, model: str) -> dict[str, str]:
        """alias → version as last published, empty before the first time."""
        ...

    def report(self, report: WorkerReport) -> None: ...

    def workers(self, model: str) -> list[WorkerReport]:
        """The newest report of each worker that is alive."""
        ...

    def silent(self, model: str) -> list[WorkerReport]:
        """The last report of each worker whose process is there and that has not shown for long that it works."""
        ...
