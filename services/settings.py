"""The only place that reads the environment. Every setting is a field here, a variable `BELLWETHER_…`, and a flag."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from services.core.errors import SettingsError

PREFIX = "BELLWETHER_"


def setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a deployment can choose; immutable, and handed to child processes as their environment."""

    home: Path = setting(Path(".bellwether"), "directory of logs, stores, models and reports")
    host: str = setting("127.0.0.1", "address that the prediction service listens on")
    port: int = setting(3000, "port of the prediction service")
    monitor_host: str = setting("127.0.0.1", "address that the monitor listens on")
    monitor_port: int = setting(3001, "port of the monitor")
    workers: int = setting(2, "serving worker processes")
    clock_file: str = setting("", "file that holds simulated time; empty for the machine's clock")
    control_share: float = setting(
        -1.0, "share of entities in the control arm, over the spec's; negative to keep the spec's"
    )
    feature_budget_ms: float = setting(20.0, "longest that a look-up of online features may take, in milliseconds")
    body_limit: int = setting(1_000_000, "largest accepted request body, in bytes")
    alias_poll_seconds: float = setting(0.5, "how often a worker looks for a new champion, in seconds")
    consume_batch: int = setting(2000, "events per transaction of the consumer")
    consumer_port: int = setting(3002, "port of the consumer's /metrics, on 127.0.0.1")
    poll_seconds: float = setting(0.2, "how long an idle consumer waits before it looks again, in seconds")
    evaluate_seconds: float = setting(1.0, "wall-clock time between two evaluations, in seconds")
    lifecycle_seconds: float = setting(0.5, "wall-clock time between two steps of the lifecycle, in seconds")
    reports_kept: int = setting(20, "Evidently reports kept per model; the oldest beyond it are deleted")
    alert_token: str = setting("", "bearer token of POST /alerts; empty refuses every delivery")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read every `BELLWETHER_…` variable that names a setting.

        Raises:
            SettingsError: a value does not fit its setting; the variable, the value and the expected type are named.
        """
        environment = os.environ if environment is None else environment
        found = {
            each.name: _parse(variable_of(each.name), environment[variable_of(each.name)], each.type)
            for each in fields(cls)
            if variable_of(each.name) in environment
        }
        return cls(**found)

    def with_flags(self, **flags: Any) -> Self:
        """These settings, with every flag that was given (is not None) over them."""
        return replace(self, **{name: value for name, value in flags.items() if value is not None})

    def as_environment(self) -> dict[str, str]:
        """The variables from which a child process reads the same settings."""
        return {variable_of(each.name): str(getattr(self, each.name)) for each in fields(self)}

    @property
    def event_log_path(self) -> Path:
        return self.home / "events.sqlite"

    @property
    def features_path(self) -> Path:
        return self.home / "features.sqlite"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{(self.home / 'records.sqlite').absolute()}"

    @property
    def bentoml_home(self) -> Path:
        return self.home.absolute() / "bentoml"

    @property
    def alias_directory(self) -> Path:
        return self.home / "aliases"

    @property
    def worker_directory(self) -> Path:
        return self.home / "workers"

    @property
    def training_directory(self) -> Path:
        return self.home / "training"

    @property
    def report_directory(self) -> Path:
        return self.home / "reports"

    @property
    def log_directory(self) -> Path:
        return self.home / "logs"


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _parse(variable: str, text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise SettingsError(f"{variable} is {text!r}; expected {kind.__name__}") from error
