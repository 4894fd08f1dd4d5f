"""Which models a process attends to: those whose lease it holds.

Any number of monitors and of lifecycles may run. Each model has one of either that works; the others stand by.
"""

import logging
import os
import secrets
import socket
from collections.abc import Iterable
from datetime import timedelta
from threading import Event, Thread
from typing import Final, Self

from services.core.errors import StoreUnavailable
from services.core.ports import Leases
from services.core.records import Lease

logger = logging.getLogger("bellwether.lease")

RENEWALS: Final = 3
"""Renewals within the life of a lease: two may fail before another process takes over."""


class Tenure:
    """The leases of one kind of work, one for each model; taken when entered, given back when left.

    A thread of its own takes what is free and renews what is held, because one retraining may last longer than a
    lease. While the store is away what was held counts as held: the store itself refuses what a former holder writes.

    Args:
        work: such as "lifecycle"; the name of a lease is that, a slash, and the model.
        lasts: how long a lease outlives its holder.
    """

    def __init__(self, leases: Leases, *, work: str, models: Iterable[str], lasts: timedelta) -> None:
        self._leases = leases
        self._work = work
        self._models = tuple(models)
        self._lasts = lasts
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._held: dict[str, Lease] = {}
        self._left = Event()
        self._renewing = Thread(target=self._renew, name=f"{work} leases", daemon=True)

    def __enter__(self) -> Self:
        self._ask_for_all()
        self._renewing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._renewing.join()
        for model in list(self._held):
            self._give_back(self._held.pop(model))

    def lease_of(self, model: str) -> Lease | None:
        """None while another process attends to the model."""
        return self._held.get(model)

    def _renew(self) -> None:
        while not self._left.wait(self._lasts.total_seconds() / RENEWALS):
            try:
                self._ask_for_all()
            except Exception:
                # The edge of the thread: without it this process would take what expired long ago for its own.
                logger.exception("the leases of this %s could not be asked for; trying again", self._work)

    def _ask_for_all(self) -> None:
        names = [self._name(model) for model in self._models]
        try:
            leases = self._leases.acquire_all(names, holder=self._holder, lasts=self._lasts)
        except StoreUnavailable as error:
            logger.warning("the leases of this %s could not be asked for: %s", self._work, error)
            return
        for model, name in zip(self._models, names, strict=True):
            self._note(model, leases.get(name))

    def _note(self, model: str, lease: Lease | None) -> None:
        """In one step for who asks meanwhile: a lease that is renewed is held all the time."""
        held = self._held.get(model)
        if lease is not None:
            self._held[model] = lease
        else:
            self._held.pop(model, None)
        if (held and held.token) != (lease and lease.token):
            says = "attends to" if lease else "stands by for"
            logger.info("this %s %s %s", self._work, says, model)

    def _give_back(self, lease: Lease) -> None:
        try:
            self._leases.release(lease)
        except StoreUnavailable as error:
            logger.warning("the lease %s could not be given back, and expires: %s", lease.name, error)

    def _name(self, model: str) -> str:
        return f"{self._work}/{model}"
