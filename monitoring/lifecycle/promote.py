"""Which version an alias means: first in the store, with its history, then for the workers."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from services.core.errors import BellwetherError, CorruptArtifact, UnknownVersion
from services.core.ports import Fleet, ModelStore, RecordStore, Versions
from services.core.records import CHAMPION, AliasChange, Job, JobState
from services.core.spec import ModelSpec

FOLLOW_SECONDS: Final = 10.0
"""Workers look twice a second and load within one; more means that something is wrong with them."""


JOBS_SEEN: Final = 20
"""Among how many of a model's newest jobs one that waits for a person is looked for: months of them."""


class NothingToDo(BellwetherError):
    code = "nothing_to_do"


def promote(
    spec: ModelSpec, version: str, *, store: Versions, models: ModelStore, fleet: Fleet, now: datetime, reason: str
) -> AliasChange:
    """Make `version` the champion.

    Raises:
        UnknownVersion: there is none of that name.
        NothingToDo: it is the champion already.
    """
    models.directory(spec.name, version)
    previous = store.aliases(spec.name).get(CHAMPION, "")
    if previous == version:
        raise NothingToDo(f"{spec.name} {version} is the champion already")
    change = AliasChange(model=spec.name, alias=CHAMPION, version=version, previous=previous, at=now, reason=reason)
    store.move_alias(change)
    publish(spec, store=store, fleet=fleet)
    return change


def rollback(
    spec: ModelSpec, *, store: Versions, models: ModelStore, fleet: Fleet, now: datetime, reason: str
) -> AliasChange:
    """Make the champion before the present one the champion again.

    Raises:
        UnknownVersion: there was none before it.
    """
    reign = _reign(store.alias_changes(spec.name))
    if len(reign) < 2:
        raise UnknownVersion(f"{spec.name} has no champion before the present one; promote a version by name instead")
    return promote(spec, reign[-2], store=store, models=models, fleet=fleet, now=now, reason=reason)


def _reign(changes: Sequence[AliasChange]) -> list[str]:
    """The champions up to the present one, without those that were rolled back: going back twice goes back two."""
    reign: list[str] = []
    for change in changes:
        if change.alias != CHAMPION:
            continue
        if change.version in reign:
            del reign[reign.index(change.version) + 1 :]
        else:
            reign.append(change.version)
    return reign


def rollbacks(changes: Sequence[AliasChange]) -> int:
    """How often a champion of before became the champion again, by whatever command."""
    champions = [change.version for change in changes if change.alias == CHAMPION]
    return sum(version in champions[:place] for place, version in enumerate(champions))


def promotions(changes: Sequence[AliasChange]) -> int:
    """How often a version became the champion that had not been it before."""
    return len({change.version for change in changes if change.alias == CHAMPION})


def awaiting(jobs: Sequence[Job], changes: Sequence[AliasChange]) -> Job | None:
    """The newest job whose version waits for a person; None once the champion has changed since, by whatever way.

    `jobs` newest first. A job that ended later takes nothing away from it: its version is still there to be promoted.
    """
    job = next((each for each in jobs if each.state is JobState.AWAITS_APPROVAL), None)
    if job is None or job.closed_at is None:
        return None
    settled = any(change.alias == CHAMPION and change.at >= job.closed_at for change in changes)
    return None if settled else job


def promote_by_hand(
    spec: ModelSpec, version: str, *, store: RecordStore, models: ModelStore, fleet: Fleet, now: datetime, reason: str
) -> AliasChange:
    """`promote` by a person. Where a job's version waited for it, the job has ended well, and its alert is answered."""
    waits = awaiting(store.jobs(spec.name, limit=JOBS_SEEN), store.alias_changes(spec.name))
    change = promote(spec, version, store=store, models=models, fleet=fleet, now=now, reason=reason)
    if waits is not None and waits.evidence["version"] == version:
        note = f"{version} serves, promoted by hand: {'; '.join(waits.evidence.get('reasons', []))}"
        store.update_job(waits.id, state=JobState.PROMOTED, note=note, closed_at=waits.closed_at)
    return change


Told = tuple[dict[str, str], dict[str, str]]
"""What workers were told: the aliases, and the SHA-256 that the manifests of their versions have to have."""


def publish(spec: ModelSpec, *, store: Versions, fleet: Fleet) -> bool:
    """Bring the workers' file to what the store says; heals a crash between the two. Says whether it had to."""
    aliases = store.aliases(spec.name)
    if not aliases:
        return False
    recorded = store.manifests(spec.name)
    manifests = {version: recorded[version] for version in aliases.values() if version in recorded}
    if told_workers(spec, fleet) == (aliases, manifests):
        return False
    fleet.publish(spec.name, aliases, manifests=manifests)
    return True


def told_workers(spec: ModelSpec, fleet: Fleet) -> Told | None:
    """None when that cannot be read: writing it anew is what mends it."""
    try:
        return fleet.published(spec.name), fleet.manifests(spec.name)
    except CorruptArtifact:
        return None


def await_fleet(fleet: Fleet, model: str, version: str, *, pause: Callable[[float], object] = time.sleep) -> list[str]:
    """Wait until every live worker answers with `version`; returns what is wrong with those that do not, empty if none.

    Without any worker there is nobody to wait for.
    """
    deadline = time.monotonic() + FOLLOW_SECONDS
    while True:
        behind = [each for each in fleet.workers(model) if each.version != version]
        if not behind or any(each.problem for each in behind) or time.monotonic() > deadline:
            return [
                f"worker {each.pid} serves {each.version or 'no version'}: {each.problem or 'late'}" for each in behind
            ]
        pause(0.1)
