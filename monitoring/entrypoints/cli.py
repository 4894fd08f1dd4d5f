"""The `bellwether` command. It only translates: flags to settings, one call, the result to text or JSON.

Every command imports what it runs when it runs it: `bellwether status` must not wait for a server's imports.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from services.adapters.private_files import PRIVATE
from services.core.clock import require_aware
from services.core.errors import BellwetherError, SettingsError
from services.core.limits import escaped
from services.home_settings import OF_A_HOME, of_home
from services.settings import Settings, variable_of

Command = Callable[..., Any]

LINES = "\n"
WRITING_FOR_OTHERS = frozenset({"rules", "dashboards", "new-model"})
"""Commands whose files are a repository's, or another program's, and no home's."""
CLICK_TYPES: dict[Any, Any] = {Path: click.Path(path_type=Path), int: int, float: float, str: str, bool: bool}


class Commands(click.Group):
    """Known errors become one line on standard error and exit code 1; anything else keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BellwetherError as error:
            click.echo(f"bellwether: {escaped(str(error), keep=LINES)}", err=True)
            sys.exit(1)


def settings_flags(*names: str) -> Callable[[Command], Command]:
    """A flag for each named setting, with the setting's own meaning, default and variable."""
    declared = {each.name: each for each in fields(Settings)}

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            each = declared[name]
            words = "--" + name.replace("_", "-")
            option = click.option(
                f"{words}/--no-{words[2:]}" if each.type is bool else words,
                name,
                type=CLICK_TYPES[each.type],
                envvar=variable_of(name),
                show_envvar=True,
                help=f"{each.metadata['meaning']}  [default: {each.default}]",
            )
            command = option(command)
        return command

    return decorate


def flag(*declarations: str, **more: Any) -> Callable[[Command], Command]:
    """A flag that is no setting; its variable is BELLWETHER_<COMMAND>_<FLAG>, shown like the others'."""
    return click.option(*declarations, show_envvar=True, show_default=True, **more)


KAFKA_FLAGS = (
    "kafka",
    "kafka_prefix",
    "kafka_partitions",
    "kafka_replication",
    "kafka_retention_hours",
    "kafka_security_protocol",
    "kafka_sasl_mechanism",
    "kafka_user",
    "kafka_ca_file",
    "kafka_cert_file",
    "kafka_key_file",
)
json_flag = flag("--json", "as_json", is_flag=True, help="print one machine-readable object")
once_flag = flag("--once", is_flag=True, help="do one round and end")


def again_flags(meaning: str) -> Callable[[Command], Command]:
    """`--again` and the time that it needs."""

    def decorate(command: Command) -> Command:
        since = flag("--from", "since", help="time with an offset, such as 2026-03-01T08:00Z, by this machine's clock")
        return flag("--again", is_flag=True, help=meaning)(since(command))

    return decorate


model_argument = click.argument("model")


@click.group(cls=Commands, context_settings={"auto_envvar_prefix": "BELLWETHER", "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bellwether")
def main() -> None:
    """Serve scikit-learn models, watch what they do to the business, and act on it."""
    if click.get_current_context().invoked_subcommand not in WRITING_FOR_OTHERS:
        # Here, because every process that it starts takes it over.
        os.umask(PRIVATE)


@main.command()
@settings_flags("home", "store", "features", "host", "port", "monitor_host", "monitor_port", "consumer_port")
@settings_flags("lifecycle_port", "workers")
@settings_flags("token_file", "predict_needs_token", "event_log", *KAFKA_FLAGS, "forwarder_port")
@flag("--model", default="churn", help="model whose simulated world calls the service")
@flag("--until", type=click.Choice(["promoted"]), help="end once a retrained version has proved itself")
@flag("--summary", type=click.Path(path_type=Path, dir_okay=False), help="write a JSON summary to this file at the end")
@flag("--days", type=click.IntRange(1), help="end after so many world days; with --until, fail")
@flag("--calls-per-day", type=click.IntRange(1), default=200, help="predictions asked for per world day")
@flag("--days-per-second", type=click.FloatRange(0.01), default=3.0, help="fastest pace of the world")
@flag("--seed", type=int, default=7, help="seed of the simulated world")
@flag("--with", "watchers", default="", help="fail without these: prometheus,alertmanager; else they are used if found")
def up(watchers: str, **flags: Any) -> None:
    """Start the whole stack with simulated live traffic; Ctrl-C stops it."""
    from monitoring.entrypoints.up.command import Plan, run_up

    flags["watchers"] = tuple(name for name in watchers.split(",") if name)
    plan = Plan(**{name: flags.pop(name) for name in Plan.__dataclass_fields__})
    sys.exit(run_up(_settings(flags), plan))


@main.command()
@settings_flags("home", "versions", "host", "port", "workers", "clock_file", "control_share", "features")
@settings_flags("feature_budget_ms")
@settings_flags("body_limit")
@settings_flags("token_file", "predict_needs_token", "event_log", "outbox_limit", "outbox_full")
def serve(**flags: Any) -> None:
    """Serve every model over HTTP."""
    from services.entrypoints.serve import run_serving

    sys.exit(run_serving(_settings_of_home(flags)))


@main.command()
@settings_flags("home", "store", "clock_file", "metrics_host", "consumer_port", "consume_batch", "poll_seconds")
@settings_flags("event_log", *KAFKA_FLAGS, "kafka_group", "kafka_session_seconds")
@once_flag
@again_flags("read what the store has lost, as after a restored backup: consumers go back to --from first")
def consume(once: bool, again: bool, since: str | None, **flags: Any) -> None:
    """Carry events from the log into the record store."""
    from services.entrypoints.consumer import run_consumer

    sys.exit(run_consumer(_settings_of_home(flags), once=once, again_from=_again_from(again, since)))


@main.command()
@settings_flags("home", "metrics_host", "forwarder_port", "forward_batch", "poll_seconds", "outbox_limit")
@settings_flags("outbox_full", "event_log", "outbox_keep_hours", *KAFKA_FLAGS)
@once_flag
@again_flags("send what Kafka has lost: the forwarder goes back to --from first")
def forward(once: bool, again: bool, since: str | None, **flags: Any) -> None:
    """Carry events from the local log to Kafka."""
    from services.entrypoints.forwarder import run_forwarder

    sys.exit(run_forwarder(_settings_of_home(flags), once=once, again_from=_again_from(again, since)))


@main.command()
@settings_flags("home", "store", "clock_file", "records_keep_days")
@flag("--dry-run", is_flag=True, help="only say how much would go")
@flag(
    "--confirm-jump", is_flag=True, help="the clock is right, although no prediction shows that so much time has passed"
)
@json_flag
def prune(as_json: bool, dry_run: bool, confirm_jump: bool, **flags: Any) -> None:
    """Remove the records that have become too old, which the lifecycle does once a day.

    Exit code 3 when time has jumped, so that nothing is removed before somebody confirms it.
    """
    from monitoring.entrypoints.prune import prune_now

    settings = _settings_of_records(flags)
    with nullcontext() if dry_run else _using_home(settings):
        told = prune_now(settings, dry_run=dry_run, confirm_jump=confirm_jump)
    _print(told, as_json=as_json)
    sys.exit(3 if told["refused"] else 0)


@main.group("dead-letters")
def dead_letters() -> None:
    """See what could not become rows, and try it again."""


@dead_letters.command("list")
@settings_flags("home", "store")
@flag("--reason", help="of this reason alone, such as undecodable")
@flag("--limit", type=click.IntRange(1), default=20, help="at most so many, the newest")
@json_flag
def dead_letters_list(as_json: bool, reason: str | None, limit: int, **flags: Any) -> None:
    """Say what could not become rows, why, and where it came from."""
    from monitoring.entrypoints.dead_letters import as_rows, letters_now, lines

    letters = letters_now(_settings_of_records(flags), reason=reason, limit=limit)
    _tell(as_rows(letters) if as_json else lines(letters), as_json=as_json)


@dead_letters.command("retry")
@settings_flags("home", "store", "clock_file")
@flag("--reason", help="of this reason alone, such as oversized")
@flag("--limit", type=click.IntRange(1), default=1000, help="at most so many, the newest")
@json_flag
def dead_letters_retry(as_json: bool, reason: str | None, limit: int, **flags: Any) -> None:
    """Try dead letters again; those that become rows are letters no more."""
    from monitoring.entrypoints.dead_letters import retry_now

    settings = _settings_of_records(flags)
    with _using_home(settings):
        _print(retry_now(settings, reason=reason, limit=limit), as_json=as_json)


@main.command()
@settings_flags(
    "home",
    "versions",
    "store",
    "clock_file",
    "monitor_host",
    "monitor_port",
    "evaluate_seconds",
    "lease_seconds",
    "reports_kept",
    "drift_alerts",
)
@once_flag
def evaluate(once: bool, **flags: Any) -> None:
    """Judge what was recorded, and show it on /metrics, /status and the overview page."""
    from monitoring.entrypoints.evaluator import run_evaluator

    sys.exit(run_evaluator(_settings_of_home(flags), once=once))


@main.command()
@settings_flags("home", "versions", "store", "clock_file", "metrics_host", "lifecycle_port", "lifecycle_seconds")
@settings_flags("lease_seconds", "records_keep_days")
@once_flag
def lifecycle(once: bool, **flags: Any) -> None:
    """Work on retraining jobs: train, gate, promote."""
    from monitoring.entrypoints.lifecycle import run_lifecycle

    sys.exit(run_lifecycle(_settings_of_home(flags), once=once))


@main.command()
@model_argument
@settings_flags("home", "versions", "store", "host", "port", "clock_file", "token_file")
@flag("--history", type=click.IntRange(0), default=0, help="past cases to train a first version on, if none serves")
@flag("--days", type=click.IntRange(1), default=10, help="world days to simulate")
@flag("--calls-per-day", type=click.IntRange(1), default=200, help="predictions asked for per world day")
@flag("--days-per-second", type=click.FloatRange(0.01), default=3.0, help="fastest pace of the world")
@flag("--seed", type=int, default=7, help="seed of the simulated world")
@flag("--event", "events", multiple=True, metavar="NAME@DAY[+DAYS]", help="switch on a world event; repeat for several")
@json_flag
def simulate(model: str, as_json: bool, **flags: Any) -> None:
    """Send a simulated world's traffic to a running service that shares its --clock-file."""
    from monitoring.entrypoints.simulation import simulate_now

    names = ("history", "days", "calls_per_day", "days_per_second", "seed", "events")
    own = {name: flags.pop(name) for name in names}
    settings = _settings_of_home(flags)
    with _using_home(settings):
        _print(simulate_now(settings, model, **own), as_json=as_json)


@main.command()
@model_argument
@settings_flags("home", "port", "workers")
@flag("--csv", "csv", type=click.Path(path_type=Path), required=True, help="history, one row per case")
@flag("--mapping", type=click.Path(path_type=Path), help="mapping file; the one in the model's folder by default")
@flag("--train-share", type=click.FloatRange(0.05, 0.95), default=0.7, help="share of the rows, the first, to train on")
@json_flag
def replay(model: str, as_json: bool, csv: Path, mapping: Path | None, train_share: float, **flags: Any) -> None:
    """Turn a CSV of real history into live traffic, in a home of its own, and judge the answers."""
    from monitoring.entrypoints.replay import replay_now

    settings = Settings.from_environment()
    report = replay_now(settings, flags, model, csv=csv, mapping=mapping, train_share=train_share)
    _print(report, as_json=as_json)


@main.command()
@model_argument
@settings_flags("home", "versions", "store")
@flag("--csv", "csv", type=click.Path(path_type=Path), help="history, one row per case; without it the spec is checked")
@flag("--mapping", type=click.Path(path_type=Path), help="mapping file; the one in the model's folder by default")
@json_flag
def check(model: str, as_json: bool, csv: Path | None, mapping: Path | None, **flags: Any) -> None:
    """Check before a deploy that workers would serve the champion with the spec as it is here, or before a training
    that a CSV of real history holds only what was known at the decisions.

    Exit code 1 when they would not, or when the file must not be used.
    """
    from monitoring.entrypoints import check as of_history
    from monitoring.entrypoints import check_version as of_version
    from services.models.discovery import spec_of

    if csv is not None:
        history = of_history.check_now(model, csv=csv, mapping=mapping)
        _tell(history.as_body() if as_json else of_history.lines(history), as_json=as_json)
        sys.exit(1 if history.refusals else 0)
    if mapping is not None:
        raise click.UsageError("--mapping says how to read a file; expected --csv FILE with it")
    version = of_version.check_champion(_settings_of_model(model, flags), spec_of(model))
    _tell(version.as_body() if as_json else of_version.lines(version), as_json=as_json)
    sys.exit(1 if version.refused else 0)


@main.command()
@model_argument
@settings_flags("home", "versions", "store", "clock_file")
@flag("--believe-outcomes", metavar="REASON", help="learn from outcomes that look wrong; say why they are true")
@json_flag
def retrain(model: str, as_json: bool, believe_outcomes: str | None, **flags: Any) -> None:
    """Train on the newest matured outcomes now, and promote if the gate lets it through."""
    from monitoring.entrypoints.by_hand import retrain_now

    if believe_outcomes is not None and not believe_outcomes.strip():
        raise click.UsageError("--believe-outcomes is empty; expected why outcomes that look wrong are true, in words")
    settings = _settings_of_model(model, flags)
    with _using_home(settings):
        _print(retrain_now(settings, model, believe_outcomes=believe_outcomes), as_json=as_json)


@main.command()
@model_argument
@click.argument("version")
@settings_flags("home", "versions", "store", "clock_file")
@json_flag
def promote(model: str, version: str, as_json: bool, **flags: Any) -> None:
    """Make a registered version the champion."""
    from monitoring.entrypoints.by_hand import promote_now

    settings = _settings_of_model(model, flags)
    with _using_home(settings):
        _print(promote_now(settings, model, version), as_json=as_json)


@main.command()
@model_argument
@settings_flags("home", "versions", "store", "clock_file")
@json_flag
def rollback(model: str, as_json: bool, **flags: Any) -> None:
    """Make the version before the present champion the champion again."""
    from monitoring.entrypoints.by_hand import rollback_now

    settings = _settings_of_model(model, flags)
    with _using_home(settings):
        _print(rollback_now(settings, model), as_json=as_json)


@main.command("new-model")
@click.argument("name")
def new_model_folder(name: str) -> None:
    """Write services/models/NAME: a working model to edit into yours."""
    from monitoring.entrypoints.new_model.command import new_model

    click.echo(new_model(name), nl=False)


@main.command()
@model_argument
@settings_flags("home", "store")
@flag("--since", metavar="TIME", help="begin with answers of this time, such as 2026-03-01T12:00:00Z")
@flag("--until", metavar="TIME", help="end before this time  [default: just behind the newest answer]")
@flag("--last", metavar="LENGTH", help="length of the range instead of --since: 90min, 36h, 7d  [default: 1d]")
@flag("--version", metavar="VERSION", help="answers while this version was loaded, such as v2")
@json_flag
def availability(model: str, as_json: bool, home: Path | None, store: str | None, **asked: str | None) -> None:
    """Say of each feature whether it was usable, how old it was, and when it kept the model from answering."""
    from monitoring.entrypoints.availability import availability_now, lines

    settings = _settings_of_records({"home": home, "store": store})
    report = availability_now(settings, model, **asked)  # type: ignore[arg-type]  # click gives text
    _tell(report if as_json else lines(report), as_json=as_json)


@main.group()
def audit() -> None:
    """Prove that nothing recorded was lost."""


@audit.command("events")
@settings_flags("home", "store", "event_log", *KAFKA_FLAGS)
@json_flag
def audit_events(as_json: bool, **flags: Any) -> None:
    """Account for every appended event; exit code 1 when one is unaccounted for or stored twice."""
    from monitoring.entrypoints.reports import event_account

    account = event_account(_settings_of_records(flags, in_the_log=True))
    _print(account, as_json=as_json)
    sys.exit(1 if account["unaccounted"] or account["duplicates_stored"] else 0)


@main.command("dashboards")
@flag("--monitor-url", default="http://127.0.0.1:3001", help="address of the monitor, which links to runbooks lead to")
@flag("--check", is_flag=True, help="write nothing; exit code 1 when the files differ from what would be written")
def write_dashboards(monitor_url: str, check: bool) -> None:
    """Write Grafana's dashboards to deploy/grafana/dashboards."""
    from monitoring.entrypoints import dashboards

    wanted = dashboards.texts(monitor_url)
    changed = sorted(dashboards.differences(wanted)) if check else dashboards.write(wanted)
    for name in changed:
        click.echo(f"{name} differs; run `bellwether dashboards`" if check else f"wrote {dashboards.DIRECTORY / name}")
    sys.exit(1 if check and changed else 0)


@main.command()
@settings_flags("host", "port", "monitor_host", "monitor_port", "consumer_port", "forwarder_port")
@settings_flags("lifecycle_port", "event_log")
@flag("--directory", type=click.Path(path_type=Path), default="deploy/prometheus", help="where the files lie")
@flag("--monitor-url", default="http://127.0.0.1:3001", help="where a browser finds the monitor, with its runbooks")
@flag("--grafana-url", default="http://127.0.0.1:3010", help="where a browser finds Grafana")
@flag("--prometheus", default="127.0.0.1:9090", help="host:port of Prometheus itself")
@flag("--alertmanager", default="127.0.0.1:9093", help="host:port of Alertmanager")
@flag(
    "--target", "targets", multiple=True, metavar="JOB=HOST:PORT", help="process elsewhere, instead of the job's here"
)
@flag("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, help="simulated seconds per real second")
@flag("--scrape-seconds", type=click.FloatRange(min=0.1), default=15.0, help="time between two scrapes")
@flag(
    "--scrape-token-file", default="", help="file of the monitor's token as Prometheus finds it, where it asks for one"
)
@flag(
    "--alertmanager-directory",
    type=click.Path(path_type=Path),
    default="deploy/alertmanager",
    help="where its file lies",
)
@flag("--webhook", help="the monitor as Alertmanager reaches it, where that is another address than a browser's")
@flag("--token-file", default="alert_token", help="file of the alert token, relative to Alertmanager's configuration")
@flag("--receivers", type=click.Path(path_type=Path), help="YAML with your receivers: page, ticket, heartbeat")
@flag("--check", is_flag=True, help="write nothing; exit code 1 where the files are not what the specs say")
def rules(check: bool, directory: Path, **flags: Any) -> None:
    """Write Prometheus's rules and configuration from the models' specs, and Alertmanager's beside them."""
    from monitoring.alerts.notify import Notifying, read_receivers
    from monitoring.entrypoints.rules import require_current, require_notifying, stack_of, write, write_notifying

    beside, webhook, token_file, receivers = (
        flags.pop(name) for name in ("alertmanager_directory", "webhook", "token_file", "receivers")
    )
    names = (
        "monitor_url",
        "grafana_url",
        "prometheus",
        "alertmanager",
        "targets",
        "speed",
        "scrape_seconds",
        "scrape_token_file",
    )
    surroundings = {name: flags.pop(name) for name in names}
    stack = stack_of(_settings(flags), **surroundings)
    notifying = Notifying(
        monitor=webhook or stack.monitor,
        token_file=token_file,
        receivers=read_receivers(receivers) if receivers else (),
        pace=stack.pace,
    )
    if check:
        require_current(stack, directory)
        require_notifying(notifying, beside)
    else:
        click.echo("\n".join(map(str, [*write(stack, directory), write_notifying(notifying, beside)])))


@main.command()
@settings_flags("home", "store", "clock_file")
@json_flag
def status(as_json: bool, **flags: Any) -> None:
    """Say what serves, what was found, and what the lifecycle is doing."""
    from monitoring.entrypoints.reports import status_lines, status_now

    settings = _settings_of_records(flags)
    _tell(status_now(settings) if as_json else status_lines(settings), as_json=as_json)


@main.group("settings")
def home_settings() -> None:
    """See where a home keeps its records, features, versions and events, and move it."""


@home_settings.command("show")
@settings_flags("home")
@json_flag
def settings_show(as_json: bool, **flags: Any) -> None:
    """Say what the home keeps; what it does not is where the settings of each command say."""
    from services.home_settings import kept

    home = _existing_home(_settings(flags))
    _print(dict(kept(home)), as_json=as_json)


@home_settings.command("change")
@settings_flags("home", *OF_A_HOME)
@json_flag
def settings_change(as_json: bool, **flags: Any) -> None:
    """Let the home keep what is given here, while nothing uses it; '' stands for the home itself.

    Nothing is moved: what was recorded stays where it was.
    """
    from services.adapters.home_lock import use_alone
    from services.home_settings import change

    names = [name for name in OF_A_HOME if flags[name] is not None]
    if not names:
        raise click.UsageError("nothing to change; expected a setting, such as --store or --features")
    settings = _settings(flags)
    with use_alone(_existing_home(settings), command=click.get_current_context().command_path):
        _print(dict(change(settings.home, settings, names)), as_json=as_json)


def _settings(flags: dict[str, Any]) -> Settings:
    return Settings.from_environment().with_flags(**flags)


def _settings_of_home(flags: dict[str, Any]) -> Settings:
    """With what the home keeps of what the command has flags for. Raises `SettingsError` where another was said."""
    said = [name for name, value in flags.items() if value is not None]
    return of_home(_settings(flags), *(name for name in flags if name in OF_A_HOME), said=said)


def _settings_of_model(model: str, flags: dict[str, Any]) -> Settings:
    """Of a home in which something is recorded of the model. Raises `UnknownModel` and `SettingsError`."""
    from services.models.discovery import spec_of

    spec_of(model)
    return _settings_of_records(flags)


def _settings_of_records(flags: dict[str, Any], *, in_the_log: bool = False) -> Settings:
    """For a command about what was recorded: where nothing ever ran it would make a home, and find all in order there.

    Raises:
        SettingsError: there is no home, and no store elsewhere that would do (what is `in_the_log` is in the home).
    """
    settings = _settings_of_home(flags)
    if not settings.store or in_the_log:
        _existing_home(settings)
    return settings


def _existing_home(settings: Settings) -> Path:
    """Raises `SettingsError`."""
    if settings.home.is_dir():
        return settings.home
    raise SettingsError(
        f"home {settings.home} does not exist, so nothing runs there; go to where the processes run, "
        "or say which home they have with --home or BELLWETHER_HOME"
    )


@contextmanager
def _using_home(settings: Settings) -> Iterator[None]:
    """While a command writes, no `up` moves the home's files away. One without a home writes into none."""
    from services.adapters.home_lock import use

    if not settings.home.is_dir():
        yield
        return
    with use(settings.home, command=click.get_current_context().command_path):
        yield


def _again_from(again: bool, since: str | None) -> datetime | None:
    """The time to go back to. Raises `click.UsageError`."""
    if again != (since is not None):
        raise click.UsageError(
            "--again and --from go together; expected both, such as --again --from 2026-03-01T08:00Z"
        )
    if since is None:
        return None
    try:
        return require_aware(datetime.fromisoformat(since), name="--from")
    except ValueError as error:
        raise click.UsageError(f"--from: {error}; expected a time with an offset, such as 2026-03-01T08:00Z") from error


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    _tell(report if as_json else _lines(report), as_json=as_json)


def _tell(told: Any, *, as_json: bool) -> None:
    """JSON, or the lines: what was recorded comes from anybody, and a terminal obeys what is not escaped."""
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for line in told:
        click.echo(escaped(line))


def _lines(value: Any, indent: str = "") -> list[str]:
    """A nested report as indented `name  value` lines."""
    lines = []
    for name, each in value.items():
        if isinstance(each, dict) and each:
            lines += [f"{indent}{name}", *_lines(each, indent + "  ")]
        else:
            lines.append(f"{indent}{name:<24} {each}")
    return lines


if __name__ == "__main__":
    main()
