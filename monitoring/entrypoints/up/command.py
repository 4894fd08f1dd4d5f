"""`bellwether up`: checks, first version, processes, traffic, and a clean end."""

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from monitoring.entrypoints.by_hand import first_version_now
from monitoring.entrypoints.up.catching_up import CatchingUp
from monitoring.entrypoints.up.children import Children, await_answer, module
from monitoring.entrypoints.up.home import move_earlier_run_aside, only_instance, require_free_ports
from monitoring.entrypoints.up.narrator import Narrator
from monitoring.entrypoints.up.servers import OwnServer, let_through, with_own_servers
from monitoring.entrypoints.up.stopping import StopAsked, Stopping
from monitoring.entrypoints.up.summary import Run, summarise
from monitoring.entrypoints.up.watchers import Watchers, with_watchers
from services import bootstrap, home_settings
from services.adapters.home_lock import HomeLock, use_alone
from services.core.errors import EventLogUnavailable, SettingsError, StoreUnavailable
from services.core.limits import escaped
from services.core.ports import EventLog, RecordStore
from services.core.records import CHAMPION, AliasChange
from services.core.spec import ModelSpec
from services.core.world import World, WorldEvent
from services.entrypoints.access import MONITOR_PORTS, access_of, access_of_monitor, token_to_send
from services.entrypoints.serve import HOLDING
from services.ingest.audit import Account, audit
from services.models.discovery import discover, spec_of, story_of, world_of
from services.settings import KAFKA, Settings
from services.traffic.client import PredictionClient
from services.traffic.simulate import DayReport, Simulation

ORIGIN: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""Day 0 of the simulated world: a Monday, fixed, so that the same seed tells the same story in every year."""

HISTORY_ROWS: Final = 4000
PROOF: Final = timedelta(days=7)
"""A week of judged answers of the new version: enough for an AUC whose interval is a few hundredths wide."""

NAME: Final = "bellwether up"
LONGEST_STORY_DAYS: Final = 250
START_SECONDS: Final = 90.0
SETTLE_SECONDS: Final = 60.0
"""For a broker that is on its way back when the run ends; what has not come by then is told as in flight."""
WHERE_EVENTS_ARE: Final = (
    "store",
    "event_log",
    "kafka",
    "kafka_prefix",
    "kafka_security_protocol",
    "kafka_sasl_mechanism",
    "kafka_user",
    "kafka_ca_file",
    "kafka_cert_file",
    "kafka_key_file",
)
"""Settings by which the account of events finds those of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `up` was asked to do beyond the settings; the flags of the command say what each means."""

    model: str
    until: str | None
    summary: Path | None
    days: int | None
    calls_per_day: int
    days_per_second: float
    seed: int
    watchers: tuple[str, ...] = ()


def run_up(settings: Settings, plan: Plan) -> int:
    """Run until stopped, or until the plan is fulfilled.

    A first signal, whenever it comes, ends the run in order; a second one ends every process at once. Returns the exit
    code: 1 when the plan was not fulfilled, or the end was not in order.
    """
    spec = spec_of(plan.model)
    if plan.summary is not None and not plan.summary.absolute().parent.is_dir():
        raise SettingsError(f"--summary {plan.summary}: its directory does not exist; create it or choose another")
    access_of(settings)
    for port in MONITOR_PORTS:
        access_of_monitor(settings, port)
    stopping = Stopping()
    with (
        only_instance(settings.home, command=NAME) as lock,
        use_alone(settings.home, command=NAME) as users,
        stopping.listening(),
    ):
        require_free_ports(settings)
        aside = move_earlier_run_aside(settings.home, at=datetime.now(UTC))
        users.share()
        if aside:
            say(f"The earlier run in {settings.home} is kept in {aside}")
        # The versions of a simulated world are its own, wherever the real ones are.
        settings = replace(settings, home=settings.home.absolute(), versions="")
        own, servers = with_own_servers(replace(settings, clock_file=str(settings.world_clock_path)))
        home_settings.keep(own, *home_settings.OF_A_HOME)
        let_through(settings.home, servers)
        speed = plan.days_per_second * timedelta(days=1).total_seconds()
        own, watchers = with_watchers(own, asked_for=plan.watchers, speed=speed)
        children = Children(own, lambda line: say(f"  !! {line}"), stopping)
        try:
            code = _lived(own, plan, spec, children, servers=servers, watchers=watchers, lock=lock)
        finally:
            children.stop()
            say("Stopped.")
    return 1 if stopping.hurried else code


def _lived(
    settings: Settings,
    plan: Plan,
    spec: ModelSpec,
    children: Children,
    *,
    servers: Sequence[OwnServer],
    watchers: Watchers,
    lock: HomeLock,
) -> int:
    try:
        _start_servers(children, servers)
        return Stack(settings, plan, spec, children, watchers, lock=lock).run()
    except StopAsked:
        say(told_why(settings, servers, hurried=children.stopping.hurried))
        return 1 if plan.until is not None else 0


def told_why(settings: Settings, servers: Sequence[OwnServer], *, hurried: bool) -> str:
    if not hurried:
        return "Told to stop before anybody had asked"
    account = (
        f"Told to stop again: everything ends at once; `{_account_command(settings)}` tells what became of the events"
    )
    asked = [server for server in servers if server.address in f"{settings.store} {settings.kafka}"]
    return "; ".join(
        [account, *(f"{each.name} ended too, start it first: {shlex.join(each.command)}" for each in asked)]
    )


def _account_command(settings: Settings) -> str:
    """With every flag by which it finds the events of this run: where it was told nothing, they are in the home."""
    elsewhere = {name: getattr(settings, name) for name in WHERE_EVENTS_ARE}
    unlike = {name: value for name, value in elsewhere.items() if value != getattr(Settings(), name)}
    flags = [word for name, value in unlike.items() for word in ("--" + name.replace("_", "-"), value)]
    return shlex.join(["bellwether", "audit", "events", "--home", str(settings.home), *flags])


def say(line: str) -> None:
    try:
        print(escaped(line, keep="\n"), flush=True)
    except OSError:
        # Who read this has gone, as from a terminal that is closed; what follows is for nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.raise_signal(signal.SIGHUP)


def _start_servers(children: Children, servers: Sequence[OwnServer]) -> None:
    for server in servers:
        children.start(server.name, server.command)
    for server in servers:
        server.await_open(children.alive)
        say(f"  own {server.name:10s} {server.address}, for this run alone, with its data in {server.directory}")


class Stack:
    """One run. Its steps stand in `run`, in their order."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        spec: ModelSpec,
        children: Children,
        watchers: Watchers,
        *,
        lock: HomeLock,
    ) -> None:
        self.settings, self.plan, self.spec, self.watchers, self.lock = settings, plan, spec, watchers, lock
        self.began = time.monotonic()
        self.clock = bootstrap.world_clock(settings, start=ORIGIN)
        self.events: tuple[WorldEvent, ...] = story_of(spec.name)
        self.world: World = world_of(spec.name)(seed=plan.seed, origin=ORIGIN, events=self.events)
        self.children, self.stopping = children, children.stopping
        self.log: EventLog = bootstrap.event_log(settings)
        self.store: RecordStore = bootstrap.record_store(settings)

    def run(self) -> int:
        try:
            self._announce()
            with self.stopping.within():
                self._train_first_version()
            self._start()
            client = self._played()
            with self.stopping.within(times=2):
                account = self._settle()
                return self._conclude(client, account)
        finally:
            self.log.close()
            self.store.close()

    def _announce(self) -> None:
        monitor = f"http://{self.settings.monitor_host}:{self.settings.monitor_port}"
        say(f"Bellwether: {self.spec.name} on a simulated world (seed {self.plan.seed}). Ctrl-C stops everything.")
        say(f"  predictions  {self._service}")
        say(f"  overview     {monitor}/   also /status, /metrics, /reports/{self.spec.name}")
        say(f"  home         {self.settings.home}   (logs in logs/)")
        if others := [name for name in discover() if name != self.spec.name]:
            say(f"  served too   {', '.join(others)}: by their rules; nobody calls them (see --model)")

    def _train_first_version(self) -> None:
        cases = self.world.history(rows=HISTORY_ROWS)
        first = first_version_now(self.settings, self.spec.name, cases)
        trained = f"trained {self.spec.name} {first['version']} on {len(cases)} past cases"
        say(f"{self._elapsed()}  {trained}. {first['note']}")

    def _start(self) -> None:
        self.stopping.check()
        # It serves from a home that belongs to this process.
        serving = [*module("services.entrypoints.serve"), HOLDING, str(self.lock.descriptor)]
        self.children.start("serving", serving, handed=[self.lock.descriptor])
        for name, entry_point in (
            *([("forwarder", "services.entrypoints.forwarder")] if self.settings.event_log == KAFKA else []),
            ("consumer", "services.entrypoints.consumer"),
            ("evaluator", "monitoring.entrypoints.evaluator"),
            ("lifecycle", "monitoring.entrypoints.lifecycle"),
        ):
            self.children.start(name, module(entry_point))
        await_answer(f"{self._service}/readyz", seconds=START_SECONDS, alive=self.children.alive)
        monitor = f"http://{self.settings.monitor_host}:{self.settings.monitor_port}/livez"
        await_answer(monitor, seconds=START_SECONDS, alive=self.children.alive)
        pids = ", ".join(f"{child.name} {child.pid}" for child in self.children.children)
        say(f"{self._elapsed()}  running: {pids} ({self.settings.workers} serving workers)")
        _start_servers(self.children, self.watchers.servers)
        if self.watchers.missing:
            say(f"  without      {', '.join(self.watchers.missing)}, not on this machine: the monitor alerts by itself")

    def _played(self) -> PredictionClient:
        """Raises `StopAsked` where somebody does not even wait for the end of the day."""
        try:
            return asyncio.run(self._play())
        except asyncio.CancelledError:
            raise StopAsked from None

    async def _play(self) -> PredictionClient:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        playing = loop.create_task(self._callers(stop))

        def told() -> None:
            loop.call_soon_threadsafe(playing.cancel if self.stopping.hurried else stop.set)

        with self.stopping.calling(told):
            return await playing

    async def _callers(self, stop: asyncio.Event) -> PredictionClient:
        client = PredictionClient(self._service, model=self.spec.name, token=token_to_send(self.settings))
        days = _Days(self, client, stop)
        async with client:
            await Simulation(
                world=self.world,
                client=client,
                clock=self.clock,
                origin=ORIGIN,
                calls_per_day=self.plan.calls_per_day,
                days_per_second=self.plan.days_per_second,
                on_day=days.lived_through,
                between_days=days.between,
                stop=stop,
            ).run(days=self._last_day)
        return client

    def _settle(self) -> Account:
        """Let the consumer finish, then account for every event."""
        CatchingUp(self.log, self.store, lambda: self.stopping.hurried).wait()
        return audit(self.log, self.store, passed=self._passed())

    def _passed(self) -> int:
        try:
            with closing(bootstrap.passage(self.settings, self.store)) as passage:
                return passage.passed(patience=SETTLE_SECONDS)
        except EventLogUnavailable as error:
            say(f"  !! {error}")
            return 0

    def _conclude(self, client: PredictionClient, account: Account) -> int:
        summary = summarise(self.spec, self._facts(client, account), self.store)
        fulfilled = self.plan.until is None or self.promotion_proved()
        recorded = f"{summary['predictions']['total']} predictions and {summary['outcomes']} outcomes recorded"
        if account.pruned:
            recorded += f", {account.pruned} more removed as too old"
        lost = f"{summary['failed_requests']} requests failed, {account.unaccounted} events unaccounted for"
        say(f"{self._elapsed()}  {recorded}; {lost}")
        if self.plan.summary is not None:
            self.plan.summary.write_text(json.dumps(summary, indent=2) + "\n")
            say(f"{self._elapsed()}  summary written to {self.plan.summary}")
        if self.plan.until is not None:
            say(json.dumps(summary, indent=2))
        if not fulfilled:
            print("bellwether: stopped before a retrained version had proved itself", file=sys.stderr)
        return 0 if fulfilled and not account.unaccounted else 1

    def _facts(self, client: PredictionClient, account: Account) -> Run:
        return Run(
            seconds=time.monotonic() - self.began,
            began_at=ORIGIN,
            ended_at=self.clock.now(),
            changed_at=self.changed_at,
            failed_requests=client.counts.failed + client.counts.refused,
            retried_requests=client.counts.retried,
            pruned_events=account.pruned,
            unaccounted_events=account.unaccounted,
        )

    @property
    def changed_at(self) -> datetime:
        """When the story changes the world for good."""
        starts = min((event.starts for event in self.events if event.ends is None), default=0.0)
        return ORIGIN + timedelta(days=starts)

    def promotion(self) -> AliasChange | None:
        """The first promotion after the world changed."""
        changes = self.store.alias_changes(self.spec.name)
        return next((each for each in changes if each.alias == CHAMPION and each.at >= self.changed_at), None)

    def promotion_proved(self) -> bool:
        """Whether the promoted version's answers of `PROOF` have matured."""
        promotion = self.promotion()
        return promotion is not None and self.clock.now() >= promotion.at + self.spec.task.outcome_delay + PROOF

    @property
    def _last_day(self) -> int | None:
        return self.plan.days or (LONGEST_STORY_DAYS if self.plan.until else None)

    @property
    def _service(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self.began:6.1f} s"


class _Days:
    """What happens between two world days: the processes are looked after, the news told, the end noticed."""

    def __init__(self, stack: Stack, client: PredictionClient, stop: asyncio.Event) -> None:
        self._stack, self._client, self._stop = stack, client, stop
        self._catching_up = CatchingUp(stack.log, stack.store, lambda: stack.stopping.asked)
        self._narrator = Narrator(
            spec=stack.spec,
            store=stack.store,
            origin=ORIGIN,
            events=stack.events,
            meanings=stack.world.known_events,
            say=say,
        )
        self._report: DayReport | None = None
        self._sent = 0

    def lived_through(self, report: DayReport) -> None:
        self._report = report

    async def between(self, _day: int) -> None:
        self._stack.children.revive()
        # The world waits for its monitor, so that a slow machine tells the same story as a fast one.
        await asyncio.to_thread(self._catching_up.wait, self._stack.spec, day_of=self._stack.clock.now())
        try:
            self._tell()
        except StoreUnavailable as error:
            say(f"  !! {error}")

    def _tell(self) -> None:
        if self._report is not None:
            self._narrator.tell(self._report, requests=self._client.counts.sent - self._sent)
        self._sent = self._client.counts.sent
        if self._stack.plan.until and self._stack.promotion_proved():
            self._stop.set()
