"""The only place that reads the environment. Every setting is a field here and a variable `BELLWETHER_…`.

Commands have flags for those that they use, except for secrets: a list of processes shows flags to everybody. A secret
may stand in a file instead, which the variable with `_FILE` behind its name leads to.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from services.core.errors import SettingsError
from services.core.predictions import LEAST_CONTROL_SHARE
from services.core.tokens import MAKE_ONE, token_problem
from services.core.urls import secret_in

PREFIX = "BELLWETHER_"

LOCAL: Final = "sqlite"
KAFKA: Final = "kafka"
REFUSE: Final = "refuse"
GROW: Final = "grow"
MONITOR: Final = "monitor"
ALERTMANAGER: Final = "alertmanager"

ADDRESSES: Final = {"store": "store_password", "features": "features_password", "kafka": "kafka_password"}
"""Settings that are addresses of servers, and where their passwords belong."""

_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


A_DAY_OF_SECONDS: Final = 86_400.0
"""Longer than anybody waits between two looks, and short enough for every clock."""
A_CENTURY_OF_HOURS: Final = 876_600.0
"""Long enough to mean for ever, and short enough to be counted back from today."""


def setting(default: Any, meaning: str, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A number that has bounds is finite, and from `low` to `high`; who uses another looks at it."""
    return field(default=default, metadata={"meaning": meaning, "secret": False, "low": low, "high": high})


def secret(meaning: str) -> Any:
    """A token, "" for none; it is in no repr."""
    return field(default="", repr=False, metadata={"meaning": meaning, "secret": True})


def password(meaning: str) -> Any:
    """A secret that somebody else's server has chosen, so that it may be any text but none."""
    return field(default="", repr=False, metadata={"meaning": meaning, "secret": True, "any_text": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a deployment can choose; immutable, and handed to child processes as their environment."""

    home: Path = setting(Path(".bellwether"), "directory of logs, stores, models and reports")
    host: str = setting("127.0.0.1", "address that the prediction service listens on")
    port: int = setting(3000, "port of the prediction service", low=0, high=65_535)
    monitor_host: str = setting("127.0.0.1", "address that the monitor listens on")
    monitor_port: int = setting(3001, "port of the monitor", low=0, high=65_535)
    monitor_token: str = secret(
        "token of the monitor's pages, as a bearer token or the password of a login, and of the ports that show "
        "metrics; without any they listen on this machine alone"
    )
    allowed_hosts: str = setting(
        "",
        "further names by which callers may call every port, with commas between them, beside localhost and 127.0.0.1",
    )
    workers: int = setting(2, "serving worker processes", low=1)
    clock_file: str = setting("", "file that holds simulated time; empty for the machine's clock")
    versions: str = setting(
        "", "directory of the models' versions, which services may share; empty for bentoml in the home"
    )
    control_share: float = setting(
        -1.0,
        "share of entities in the control arm, over the spec's; negative to keep the spec's",
        high=1,
    )
    feature_budget_ms: float = setting(
        20.0, "longest that a look-up of online features may take, in milliseconds", low=0, high=60_000
    )
    body_limit: int = setting(1_000_000, "largest accepted request body, in bytes", low=1)
    alias_poll_seconds: float = setting(
        0.5, "how often a worker looks for a new champion, in seconds", low=0, high=A_DAY_OF_SECONDS
    )
    consume_batch: int = setting(2000, "events per transaction of the consumer", low=1)
    metrics_host: str = setting("127.0.0.1", "address that /metrics of consumer, forwarder and lifecycle listens on")
    consumer_port: int = setting(3002, "port of the consumer's /metrics", low=0, high=65_535)
    poll_seconds: float = setting(
        0.2, "how long an idle consumer waits before it looks again, in seconds", low=0, high=A_DAY_OF_SECONDS
    )
    evaluate_seconds: float = setting(
        1.0, "wall-clock time between two evaluations, in seconds", low=0, high=A_DAY_OF_SECONDS
    )
    lifecycle_seconds: float = setting(
        0.5, "wall-clock time between two steps of the lifecycle, in seconds", low=0, high=A_DAY_OF_SECONDS
    )
    lifecycle_port: int = setting(3004, "port of the lifecycle's /metrics", low=0, high=65_535)
    lease_seconds: float = setting(
        10.0,
        "silence of a monitor or lifecycle after which another that runs takes its models over, in seconds",
        low=0.01,
        high=A_DAY_OF_SECONDS,
    )
    reports_kept: int = setting(20, "Evidently reports kept per model; the oldest beyond it are deleted", low=1)
    token: str = secret("bearer token of the prediction service; without any it listens on this machine alone")
    token_file: str = setting("", "file of further bearer tokens, one per line, # before comments; empty for none")
    predict_needs_token: bool = setting(
        False, "whether single predictions need a token, as everything that writes does"
    )
    allow_plaintext: bool = setting(
        False, "whether PostgreSQL, Redis and Kafka on other machines may be spoken to without TLS"
    )
    store: str = setting("", "SQLAlchemy URL of the record store, without a password; empty for a file in the home")
    records_keep_days: float = setting(
        400.0, "how long predictions, outcomes, results and dead letters are kept, in days; more where a spec needs it"
    )
    store_password: str = password("password of the record store")
    features: str = setting("", "URL of the Redis with the online features, without a password; empty for a file")
    features_password: str = password("password of that Redis")
    alert_token: str = secret("bearer token of POST /alerts; without one every delivery is refused")
    drift_alerts: str = setting(
        MONITOR, "who hands drift over to the lifecycle: monitor (itself, at once) or alertmanager (by POST /alerts)"
    )
    event_log: str = setting(LOCAL, "what consumers read: sqlite (the machine's own log) or kafka")
    outbox_limit: int = setting(1_000_000, "events that may wait for Kafka; each takes about 2 kB of disk", low=0)
    outbox_full: str = setting(REFUSE, "beyond that limit: refuse (predictions get an error) or grow")
    outbox_keep_hours: float = setting(
        168.0, "how long the local log keeps what Kafka has, in hours", low=0, high=A_CENTURY_OF_HOURS
    )
    forwarder_port: int = setting(3003, "port of the forwarder's /metrics", low=0, high=65_535)
    forward_batch: int = setting(500, "events that the forwarder has under way at once", low=1)
    kafka: str = setting("", "Kafka's servers as host:port, with commas between them")
    kafka_prefix: str = setting("bellwether", "what the names of the topics begin with")
    kafka_group: str = setting("bellwether", "group of the consumers that share the topics' partitions")
    kafka_partitions: int = setting(
        6, "partitions of a topic that is created; more consumers than that are idle", low=1
    )
    kafka_replication: int = setting(-1, "replicas of a topic that is created; -1 leaves it to the broker", low=-1)
    kafka_retention_hours: float = setting(
        168.0, "how long a topic that is created keeps its records, in hours", low=1, high=A_CENTURY_OF_HOURS
    )
    kafka_session_seconds: float = setting(
        15.0, "silence after which a consumer's partitions go to others, in seconds", low=0.01, high=A_DAY_OF_SECONDS
    )
    kafka_security_protocol: str = setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    kafka_sasl_mechanism: str = setting("", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty without SASL")
    kafka_user: str = setting("", "user name for SASL")
    kafka_password: str = password("password for SASL")
    kafka_ca_file: str = setting(
        "", "file of the authorities that Kafka's certificate may come from; empty for the system's"
    )
    kafka_cert_file: str = setting("", "file of the certificate that this client shows Kafka; empty for none")
    kafka_key_file: str = setting("", "file of that certificate's key")
    kafka_key_password: str = password("password of that key's file")

    def __post_init__(self) -> None:
        """Settings are shown, logged and handed on; no secret of a server can be in what is no secret.

        Raises:
            SettingsError: an address has a password in it, or a number is none, or beyond its bounds.
        """
        for each in fields(self):
            _require_number(each, getattr(self, each.name))
        if 0.0 < self.control_share < LEAST_CONTROL_SHARE:
            raise SettingsError(
                f"{variable_of('control_share')} is {self.control_share!r}; expected 0, or at least "
                f"{LEAST_CONTROL_SHARE:g}: one answer would stand for too many"
            )
        for name, instead in ADDRESSES.items():
            if problem := secret_in(getattr(self, name)):
                raise SettingsError(
                    f"{variable_of(name)} {problem}, which logs and lists of processes would show; set "
                    f"{variable_of(instead)} instead"
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read every `BELLWETHER_…` variable that names a setting, and every file that one names for a secret.

        A variable goes over its file: a child process gets the value itself, and inherits the name of the file.

        Raises:
            SettingsError: a value does not fit its setting. The variable and what was expected are named, and the
                value unless it is a secret. A secret that is set to nothing does not fit: it got lost on its way.
                Or a file cannot be read.
        """
        environment = os.environ if environment is None else environment
        given = ((each, _given(each, environment)) for each in fields(cls))
        return cls(**{each.name: _parse(each, *found) for each, found in given if found is not None})

    def with_flags(self, **flags: Any) -> Self:
        """These settings, with every flag that was given (is not None) over them."""
        return replace(self, **{name: value for name, value in flags.items() if value is not None})

    def as_environment(self) -> dict[str, str]:
        """The variables from which a child process reads the same settings; a secret that there is not has none."""
        values = {each: getattr(self, each.name) for each in fields(self)}
        return {variable_of(each.name): str(value) for each, value in values.items() if value or not _is_secret(each)}

    @property
    def world_clock_path(self) -> Path:
        """Where the simulated clock of a world that plays in this home lies."""
        return self.home / "clock"

    @property
    def event_log_path(self) -> Path:
        return self.home / "events.sqlite"

    @property
    def features_path(self) -> Path:
        return self.home / "features.sqlite"

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:///{(self.home / 'records.sqlite').absolute()}"

    @property
    def shareable_files(self) -> tuple[Path, ...]:
        """What may lie in another home, whose processes then work with it as well."""
        store = self.store_url.partition(":///")
        in_a_file = store[0].startswith("sqlite") and store[2]
        return (*([Path(store[2]).absolute()] if in_a_file else []), self.versions_directory)

    @property
    def versions_directory(self) -> Path:
        return Path(self.versions).absolute() if self.versions else self.home.absolute() / "bentoml"

    @property
    def serving_directory(self) -> Path:
        """Where the server keeps what is its own; it empties parts of it when it starts."""
        return self.home.absolute() / "serving"

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
    def calibration_directory(self) -> Path:
        """Calibrations of versions that came without one; what is lost of it is drawn again."""
        return self.home / "calibrations"

    @property
    def log_directory(self) -> Path:
        return self.home / "logs"


def _require_number(each: Field[Any], value: object) -> None:
    """What is no number, or too small or large for what it is for, would end a process long after it began, or turn
    every event into a dead letter. Raises `SettingsError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = each.metadata["low"], each.metadata["high"]
    bounds = [f"at least {low:,g}"] * math.isfinite(low) + [f"at most {high:,g}"] * math.isfinite(high)
    if bounds and not (low <= value <= high and math.isfinite(value)):
        raise SettingsError(f"{variable_of(each.name)} is {value}; expected {' and '.join(bounds)}")


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def file_variables() -> dict[str, str]:
    """The variable that names a secret's file, by the secret's setting.

    `token` has none: the setting `token_file` names a file of it, which may hold several.
    """
    declared = fields(Settings)
    taken = {each.name for each in declared}
    return {
        each.name: variable_of(f"{each.name}_file")
        for each in declared
        if _is_secret(each) and f"{each.name}_file" not in taken
    }


def secret_text(path: Path, *, named: str, expected: str) -> str:
    """What a file of secrets says. Raises `SettingsError`, which holds nothing of what was read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        why = str(error.strerror)
    except UnicodeDecodeError:
        # Nothing is chained to what follows: this error holds what was read.
        why = "it is no text"
    raise SettingsError(f"{named} cannot be read: {why}; expected {expected}")


def _is_secret(each: Field[Any]) -> bool:
    return bool(each.metadata["secret"])


def _given(each: Field[Any], environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that says what a setting is, and what it says; None where none does."""
    variable, file_variable = variable_of(each.name), file_variables().get(each.name, "")
    if variable in environment:
        return variable, environment[variable]
    if not (path := environment.get(file_variable)):
        return None
    return file_variable, secret_text(
        Path(path), named=f"{file_variable} {path}", expected="a file with the secret alone"
    )


def _parse(each: Field[Any], variable: str, text: str) -> Any:
    kind = each.type
    if each.metadata.get("any_text"):
        return _password(variable, text.rstrip("\r\n"))
    if _is_secret(each):
        return _token(variable, text.strip())
    try:
        return _truth(text) if kind is bool else kind(text)  # type: ignore[operator]  # types here are no strings
    except ValueError as error:
        expected = "true or false" if kind is bool else kind.__name__  # type: ignore[union-attr]  # as above
        raise SettingsError(f"{variable} is {text!r}; expected {expected}") from error


def _token(variable: str, text: str) -> str:
    if problem := token_problem(text):
        raise SettingsError(f"{variable} {problem}; {MAKE_ONE}, or leave the variable unset")
    return text


def _password(variable: str, text: str) -> str:
    if not text:
        raise SettingsError(f"{variable} is empty; give the password, or leave the variable unset")
    return text


def _truth(text: str) -> bool:
    """`bool` would take every word for true, "False" among them."""
    found = _TRUTHS.get(text.strip().lower())
    if found is None:
        raise ValueError(text)
    return found
