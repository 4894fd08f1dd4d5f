"""The lifecycle process."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from monitoring.entrypoints.tenure import Tenure
from monitoring.lifecycle.promote import Told, told_workers
from monitoring.lifecycle.retention import Upkeep
from monitoring.lifecycle.retrain import Workshop
from monitoring.lifecycle.step import follow, resume, step
from monitoring.metrics import LifecycleMetrics
from services import bootstrap, home_settings
from services.adapters.home_lock import use
from services.core.clock import wall_clock
from services.core.errors import LeaseLost, StoreUnavailable
from services.core.ports import RecordStore
from services.core.spec import ModelSpec
from services.entrypoints.access import access_of_monitor
from services.entrypoints.processes import log_to_stderr, opened, serve_metrics, stop_on_signals
from services.models.discovery import discover
from services.settings import Settings

NAME: Final = "bellwether lifecycle"

logger = logging.getLogger("bellwether.lifecycle")


def run_lifecycle(settings: Settings, *, once: bool = False) -> int:
    """Attend to the open jobs of this process's models until it is told to stop.

    Raises:
        PortTaken: something else has the port of its metrics (not with `once`, which shows none).
        AlreadyRunning: the home's files are being moved away.
        SettingsError: others than this machine could read its metrics without a token, or the home keeps its records or
            versions somewhere else.
    """
    log_to_stderr()
    if not once:
        access_of_monitor(settings, "metrics_host")
    with use(settings.home, command=NAME):
        settings = home_settings.of_home(settings, *home_settings.OF_JUDGING)
        with home_settings.beside_others(settings, command=NAME):
            return _attend(settings, once=once)


def _attend(settings: Settings, *, once: bool) -> int:
    stop = stop_on_signals()
    store = opened(lambda: bootstrap.record_store(settings), stop=stop, patient=not once)
    if store is None:
        return 0
    home_settings.keep(settings, *home_settings.OF_JUDGING)
    with (
        workshop_of(settings, store, logger.info) as workshop,
        tenure_of(settings, workshop.store, discover()) as tenure,
    ):
        attendance = Attendance(workshop, tenure, Upkeep(bootstrap.retention(settings), tuple(discover())))
        if once:
            attendance.round()
            return 0
        serve_metrics(attendance.metrics.registry, settings, "lifecycle_port")
        while not stop.is_set():
            attendance.round()
            stop.wait(settings.lifecycle_seconds)
    return 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to do, of all models at once."""

    aliases: dict[str, dict[str, str]]
    with_open_job: set[str]

    @classmethod
    def by(cls, store: RecordStore) -> "Seen":
        """Raises `StoreUnavailable`."""
        return cls(store.all_aliases(), store.with_open_job())


@dataclass(frozen=True, slots=True)
class Attendance:
    """Working on what this process has the lease of.

    Without `upkeep` nothing is pruned.
    `_resumed` has the token with which each model was taken over, once its interrupted job waits again.
    """

    workshop: Workshop
    tenure: Tenure
    upkeep: Upkeep | None = None
    metrics: LifecycleMetrics = field(default_factory=LifecycleMetrics)
    _resumed: dict[str, int] = field(default_factory=dict)
    _told: dict[str, Told | None] = field(default_factory=dict)
    """Of each model, when its file was last compared with the store."""

    def round(self) -> None:
        """Attend to every model, whatever happens to one of them.

        What models have to do is asked for once for all of them: a round in which none has anything to do takes two
        statements, however many there are.
        """
        seen = self._seen()
        if seen is None:
            return
        for spec in discover().values():
            self._attend_alone(spec, seen)
        self._give_room_back()

    def _seen(self) -> "Seen | None":
        """None where that cannot be known now, which every model has failed by."""
        try:
            return Seen.by(self.workshop.store)
        except StoreUnavailable as error:
            logger.warning("no model can be attended to: %s; trying again", error)
        except Exception:
            # The edge of the process, as for each model below.
            logger.exception("no model can be attended to; trying again")
        for model in discover():
            self.metrics.failed(model)
        return None

    def _attend_alone(self, spec: ModelSpec, seen: "Seen") -> None:
        try:
            self.attend(spec, seen)
        except LeaseLost as error:
            logger.info("%s: %s", spec.name, error)
        except StoreUnavailable as error:
            self.metrics.failed(spec.name)
            logger.warning("%s: %s; trying again", spec.name, error)
        except Exception:
            # The edge of the process: what is wrong with one model must not stop the others' retrainings.
            self.metrics.failed(spec.name)
            logger.exception("attending to %s failed; trying again", spec.name)

    def _give_room_back(self) -> None:
        try:
            if self.upkeep is not None:
                self.upkeep.give_room_back(self.workshop.store)
        except StoreUnavailable as error:
            logger.warning("no room was given back to the disk: %s", error)

    def attend(self, spec: ModelSpec, seen: "Seen | None" = None) -> None:
        """Whoever has the lease works; every process keeps the alias file of its own machine.

        Args:
            seen: what the models have to do, where it was asked for just now.

        Raises `StoreUnavailable`, and `LeaseLost` when another process has taken the model over meanwhile.
        """
        seen = seen or Seen.by(self.workshop.store)
        if not self._is_told(spec, seen.aliases.get(spec.name, {})):
            follow(spec, self.workshop)
            self._told[spec.name] = told_workers(spec, self.workshop.fleet)
        lease = self.tenure.lease_of(spec.name)
        if lease is None:
            self.metrics.left(spec.name)
            return
        fenced = replace(self.workshop, store=self.workshop.store.fenced(lease))
        if self._resumed.get(spec.name) != lease.token:
            resume(spec, fenced)
            self._resumed[spec.name] = lease.token
        if spec.name in seen.with_open_job:
            step(spec, fenced)
        if self.upkeep is not None:
            jump = self.upkeep.attend(spec, fenced)
            self.metrics.pruning_stands_still(spec.name, jump is not None)
        self.metrics.attended(spec.name, at=wall_clock())

    def _is_told(self, spec: ModelSpec, aliases: dict[str, str]) -> bool:
        """Whether this machine's workers know these aliases, and nobody has changed what they were told with them; a
        file that cannot be read has to be written anew."""
        told = self._told.get(spec.name)
        return told is not None and told[0] == aliases and told_workers(spec, self.workshop.fleet) == told


def tenure_of(settings: Settings, store: RecordStore, models: Iterable[str]) -> Tenure:
    """The right to work on the jobs of these models."""
    return Tenure(store, work="lifecycle", models=models, lasts=timedelta(seconds=settings.lease_seconds))


@contextmanager
def open_workshop(settings: Settings, say: Callable[[str], None]) -> Iterator[Workshop]:
    """What a retraining works with, from the settings; `say` hears of each step. Raises `StoreUnavailable`."""
    with workshop_of(settings, bootstrap.record_store(settings), say) as workshop:
        yield workshop


@contextmanager
def workshop_of(settings: Settings, store: RecordStore, say: Callable[[str], None]) -> Iterator[Workshop]:
    """The same around a store that is open, and is closed at the end."""
    try:
        yield Workshop(
            store=store,
            models=bootstrap.model_store(settings),
            fleet=bootstrap.fleet(settings),
            now=bootstrap.clock(settings),
            training_directory=settings.training_directory,
            say=say,
        )
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(run_lifecycle(Settings.from_environment()))
