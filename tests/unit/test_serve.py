"""What BentoML is really told, and what `serve` refuses."""

import os
import socket
from pathlib import Path

import pytest

from services.adapters.home_lock import own
from services.core.errors import AlreadyRunning, PortTaken, SettingsError
from services.entrypoints.bento import REQUEST_SECONDS, build_service
from services.entrypoints.serve import STOP_SECONDS, command, environment, run_serving
from services.settings import Settings
from tests.ports import free_port
from tests.toy import toy_spec


def test_bentoml_understood_its_configuration(tmp_path: Path) -> None:
    from _bentoml_impl.server.app import ServiceAppFactory  # type: ignore[import-untyped]  # ships no types
    from bentoml._internal.configuration.containers import BentoMLContainer

    settings = Settings(home=tmp_path, port=3456, workers=3)
    service = build_service([toy_spec()], settings)
    service.inject_config()
    effective = BentoMLContainer.api_server_config
    assert effective.metrics.enabled.get() is False
    assert effective.logging.access.enabled.get() is False
    assert (BentoMLContainer.http.host.get(), BentoMLContainer.http.port.get()) == ("127.0.0.1", 3456)
    assert BentoMLContainer.config.services[service.name].workers.get() == 3
    assert BentoMLContainer.tracing_excluded_urls.get().url_disabled("http://127.0.0.1:3456/v1/models/toy/predict")
    factory = ServiceAppFactory(service, is_main=True)
    assert factory.timeout == REQUEST_SECONDS
    assert "/metrics" not in {getattr(route, "path", "") for route in factory.routes}


def test_building_the_service_opens_nothing(tmp_path: Path) -> None:
    build_service([toy_spec()], Settings(home=tmp_path / "home"))
    assert list(tmp_path.iterdir()) == []


def test_the_service_of_one_model_needs_no_model_name(tmp_path: Path) -> None:
    def default(*names: str) -> object:
        service = build_service([toy_spec(name=name) for name in names], Settings(home=tmp_path))
        return service.apis["predict"].input_spec.model_fields["model"].default

    assert (default("toy"), default("toy", "other")) == ("toy", "")


def test_the_server_gets_the_settings_and_keeps_to_itself(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=3456)
    variables = environment(settings, {"PATH": "/bin"})
    assert Settings.from_environment(variables) == settings
    assert variables["PATH"] == "/bin"
    assert variables["BENTOML_HOME"] == str(tmp_path / "serving")
    assert (variables["BENTOML_DO_NOT_TRACK"], variables["OTEL_SDK_DISABLED"]) == ("True", "true")


def test_the_server_is_told_its_address_and_how_long_a_stop_may_take() -> None:
    words = command(Settings(host="127.0.0.1", port=3456))
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == "3456"
    assert words[words.index("--timeout-graceful-shutdown") + 1] == str(STOP_SECONDS)


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port} is taken"):
            run_serving(Settings(home=tmp_path, port=port))
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_served_from_is_refused_and_its_server_is_named(tmp_path: Path) -> None:
    with (
        own(tmp_path, command="bellwether serve"),
        pytest.raises(AlreadyRunning, match=rf"in use by process {os.getpid()} \(bellwether serve\)"),
    ):
        run_serving(Settings(home=tmp_path, port=free_port()))


def test_services_that_share_more_than_versions_are_refused_with_what_they_may_share(tmp_path: Path) -> None:
    """Two homes, and one directory mounted into both of them."""
    for each in ("shared", "home"):
        (tmp_path / each).mkdir()
    (tmp_path / "home" / "serving").symlink_to(tmp_path / "shared")
    with (
        own(tmp_path / "shared", command="bellwether serve"),
        pytest.raises(AlreadyRunning, match="share versions alone, with --versions"),
    ):
        run_serving(Settings(home=tmp_path / "home", port=free_port()))


def test_versions_that_are_shared_are_nobodys_server_directory(tmp_path: Path) -> None:
    alone, sharing = Settings(home=tmp_path), Settings(home=tmp_path, versions=str(tmp_path / "shared"))
    assert (alone.versions_directory, sharing.versions_directory) == (tmp_path / "bentoml", tmp_path / "shared")
    assert alone.serving_directory == sharing.serving_directory == tmp_path / "serving"


def test_a_host_is_an_address(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected an IP address"):
        run_serving(Settings(home=tmp_path, host="localhost"))


def test_a_service_beyond_this_machine_is_not_built_without_a_token(tmp_path: Path) -> None:
    everywhere = Settings(home=tmp_path, host="0.0.0.0")  # noqa: S104 - it is refused, so nothing listens there
    with pytest.raises(SettingsError, match="BELLWETHER_TOKEN"):
        build_service([toy_spec()], everywhere)
