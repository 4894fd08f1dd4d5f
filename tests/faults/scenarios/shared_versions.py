"""Two services share their versions: neither touches the other's counters, and a promotion reaches both."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from monitoring.entrypoints.lifecycle import open_workshop
from monitoring.lifecycle.promote import promote
from monitoring.lifecycle.step import follow
from services import bootstrap
from services.core.clock import wall_clock
from tests.artifacts import add_toy_version
from tests.faults.scenarios.asking import ask, counted
from tests.faults.scenarios.processes import carried_over, trial_of
from tests.faults.trial import Trial
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.toy import toy_spec
from tests.waiting import eventually

NAME: Final = "shared versions"
ASKED: Final = {"first": 600, "second": 60}
QUESTION: Final[dict[str, Any]] = {"entity_id": "c-1", "features": {"plan": "monthly", "amount": 9.0}}


def play(home: Path, seconds: float) -> Trial:
    wrong, failed, services = list[str](), 0, list[ServingProcess]()
    with ExitStack() as stack:
        for name, times in ASKED.items():
            (home / name).mkdir()
            serving = toy_serving(home / name, versions={"v1": 1}, shared=home / "versions")
            services.append(stack.enter_context(serving))
            failed += ask(services[-1].url, "toy", QUESTION, times=times)
        for service, times in zip(services, ASKED.values(), strict=True):
            if (found := counted(service.url, expected=times)) != times:
                wrong.append(f"the {service.settings.home.name} counted {found:.0f} of {times} answers")
        _promote(services, home)
        failed += sum(ask(service.url, "toy", QUESTION, times=10) for service in services)
    settings = [service.settings for service in services]
    for each in settings:
        wrong += carried_over(each)
    return trial_of(NAME, settings, seconds=seconds, wrong=wrong, failed_requests=failed)


def _promote(services: Sequence[ServingProcess], home: Path) -> None:
    """As one lifecycle does it, and the one beside the other service follows."""
    url = f"sqlite:///{home / 'records.sqlite'}"
    first, second = (service.settings.with_flags(store=url) for service in services)
    add_toy_version(bootstrap.model_store(first), "v2", seed=2)
    told = list[str]()
    with open_workshop(first, told.append) as here, open_workshop(second, told.append) as there:
        store, models, fleet = here.store, here.models, here.fleet
        promote(toy_spec(), "v2", store=store, models=models, fleet=fleet, now=wall_clock(), reason="it is better")
        follow(toy_spec(), there)
    for service in services:
        what = f"every worker of {service.url} serves v2"
        eventually(lambda service=service: service.serving_everywhere("v2"), what=what)  # type: ignore[misc]
