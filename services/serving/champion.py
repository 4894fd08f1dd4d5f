"""Each worker follows the published champion on its own: no restart, no call, no failed request."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from services.core.artifacts import WorkerReport
from services.core.clock import Now, wall_clock
from services.core.errors import BellwetherError
from services.core.ports import Fleet, ModelStore
from services.core.records import CHAMPION
from services.core.spec import ModelSpec
from services.metrics import Serves, ServingMetrics
from services.serving.runtime import ServingModel, load

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 10.0
"""Between two attempts at a version that did not load: it may have been a full disk, and verifying reads every byte."""


@dataclass(kw_only=True)
class ChampionWatch:
    """Holds the version that this worker answers with. A version that fails its checks never replaces one that serves.

    `pause` is the time between two looks in seconds. `now` is wall-clock time: reports tell who is alive.
    """

    spec: ModelSpec
    store: ModelStore
    fleet: Fleet
    metrics: ServingMetrics
    pause: float
    now: Now = wall_clock
    timer: Callable[[], float] = time.monotonic
    serving: ServingModel | None = None
    problem: str = ""
    _failed_version: str = field(default="", init=False)
    _failed_at: float = field(default=0.0, init=False)

    def champion(self) -> ServingModel | None:
        return self.serving

    async def follow(self) -> None:
        """Look for ever. Ends by cancellation only: a worker that stops looking would serve an old version for ever."""
        while True:
            await asyncio.sleep(self.pause)
            try:
                await self.look()
            except Exception:
                self.metrics.load_failed(self.spec.name)
                logger.exception("looking for a new version of %s failed", self.spec.name)

    async def look(self) -> None:
        """Read what is published, load it when it is new, swap, report."""
        wanted = await asyncio.to_thread(self._published)
        if wanted == self._version():
            self.problem = ""
        elif wanted is not None and not self._gave_up_on(wanted):
            await self._load(wanted)
        await asyncio.to_thread(self._report)

    async def _load(self, version: str) -> None:
        """Verify in a thread, so that requests go on; the swap is one assignment, which none can see half done."""
        try:
            loaded = await asyncio.to_thread(self._verified, version)
        except (BellwetherError, OSError) as error:
            self._refuse(version, error)
            return
        previous = self.serving
        self.serving, self.problem, self._failed_version = loaded, "", ""
        self.metrics.serves(self.spec.name, _told(loaded), instead_of=None if previous is None else _told(previous))
        before = "the rule" if previous is None else previous.version
        logger.info("%s answers with version %s instead of %s", self.spec.name, loaded.version, before)

    def _verified(self, version: str) -> ServingModel:
        directory = self.store.directory(self.spec.name, version)
        recorded = self.fleet.manifests(self.spec.name).get(version, "")
        if not recorded:
            logger.warning(
                "%s %s was registered before the SHA-256 of manifests was recorded: its files are checked against its "
                "manifest alone",
                self.spec.name,
                version,
            )
        return load(directory, self.spec, manifest_sha256=recorded, version=version)

    def _published(self) -> str | None:
        """The champion's version, or None before anything was published and while that cannot be read."""
        try:
            return self.fleet.published(self.spec.name).get(CHAMPION)
        except (BellwetherError, OSError) as error:
            self.problem = str(error)
            return None

    def _refuse(self, version: str, error: Exception) -> None:
        self.problem = f"{version} was refused: {error}"
        self._failed_version, self._failed_at = version, self.timer()
        self.metrics.load_failed(self.spec.name)
        logger.error("%s keeps version %s: %s", self.spec.name, self._version() or "none", self.problem)

    def _gave_up_on(self, version: str) -> bool:
        return version == self._failed_version and self.timer() - self._failed_at < RETRY_SECONDS

    def _report(self) -> None:
        self.fleet.report(
            WorkerReport(
                pid=os.getpid(), model=self.spec.name, version=self._version(), at=self.now(), problem=self.problem
            )
        )

    def _version(self) -> str:
        return "" if self.serving is None else self.serving.version


def _told(model: ServingModel) -> Serves:
    return Serves(model.version, model.manifest.served_form.value, model.row_seconds)
