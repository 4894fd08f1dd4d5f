"""What a Redis does to the service: it is killed, it stands still, it holds something else, it wants a password."""

import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import aiohttp
import pytest
from redis import Redis

from services.adapters.features_redis import FeaturesRedis
from services.core.errors import FeatureSourceDown, SettingsError
from services.core.features import Reading, WriteResult
from tests.integration.serving_process import ServingProcess, toy_serving
from tests.integration.test_feature_source import newest
from tests.integration.test_serving import load_of, write_features
from tests.servers.missing import skip_without
from tests.servers.process import ServerProcess, Unavailable
from tests.servers.redis import running_redis, url_of
from tests.toy import NOON
from tests.waiting import until

SECRET = "correct-horse-battery"  # noqa: S105 - of nobody
Outage = Callable[[ServerProcess], AbstractContextManager[None]]


@contextmanager
def killed(server: ServerProcess) -> Iterator[None]:
    server.stop(signal.SIGKILL)
    yield
    server.start()


@contextmanager
def standing_still(server: ServerProcess) -> Iterator[None]:
    """It keeps its connections and takes new ones, and answers nothing."""
    server.send(signal.SIGSTOP)
    yield
    server.send(signal.SIGCONT)


@contextmanager
def password_of(server: ServerProcess, password: str) -> Iterator[None]:
    with Redis.from_url(url_of(server)) as admin:
        admin.config_set("requirepass", password)
        yield
    with Redis.from_url(url_of(server), password=password) as admin:
        admin.config_set("requirepass", "")


@pytest.fixture(scope="module")
def own_server() -> Iterator[ServerProcess]:
    """One that a test may hurt."""
    try:
        with running_redis() as server:
            yield server
    except Unavailable as error:
        skip_without("Redis", str(error))


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, own_server: ServerProcess) -> Iterator[ServingProcess]:
    home = tmp_path_factory.mktemp("home")
    with toy_serving(home, versions={"v1": 1}, features=url_of(own_server)) as process:
        yield process


@pytest.fixture
async def http(serving: ServingProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        await write_features(session, serving)
        yield session


@pytest.mark.parametrize("outage", [killed, standing_still])
async def test_an_outage_fails_no_request_and_ends_within_a_second(
    serving: ServingProcess, own_server: ServerProcess, http: aiohttp.ClientSession, outage: Outage
) -> None:
    async with load_of(http, serving) as answers:
        await until(lambda: newest(answers) == ["model"] * 50, what="answers by the model")
        with outage(own_server):
            await until(lambda: newest(answers) == ["rule"] * 50, what="answers by the rule")
            seen = len(answers)
            await until(lambda: len(answers) >= seen + 200, what="more answers")
            down = answers[seen:]
        ended = time.monotonic()
        await until(lambda: "model" in newest(answers), what="an answer by the model")
        back_after = time.monotonic() - ended
        await until(lambda: newest(answers) == ["model"] * 50, what="answers by the model")
    assert {answer["features"]["visits"]["status"] for answer in down} == {"source_down"}
    assert back_after < 1.0


async def test_another_type_under_an_entity_s_key_is_no_value_and_gives_way_to_one(redis: ServerProcess) -> None:
    features = FeaturesRedis(url_of(redis), prefix="other-type")
    Redis.from_url(url_of(redis)).set("other-type:features:toy:user-1", "a string")
    assert await features.read("toy", "user-1", ["visits"]) == {}

    written = await features.write("toy", "user-1", {"visits": Reading(3.0, NOON)})

    assert written == {"visits": WriteResult.WRITTEN}
    assert await features.read("toy", "user-1", ["visits"]) == {"visits": Reading(3.0, NOON)}
    await features.close()


async def test_a_wrong_password_is_down_and_not_repeated(own_server: ServerProcess) -> None:
    reading = {"visits": Reading(1.0, NOON)}
    with password_of(own_server, "another"):
        knowing, wrong = (FeaturesRedis(url_of(own_server), password=password) for password in ("another", SECRET))
        await knowing.write("toy", "user-1", reading)
        assert await knowing.read("toy", "user-1", ["visits"]) == reading
        with pytest.raises(FeatureSourceDown) as down:
            await wrong.read("toy", "user-1", ["visits"])
        await knowing.close()
        await wrong.close()
    assert SECRET not in f"{down.value} {down.value.__cause__} {wrong}"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis:", f"redis://:{SECRET}@127.0.0.1:6379/0"])
def test_a_url_that_is_none_or_shows_a_password_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        FeaturesRedis(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("parameter", ["decode_responses=True", "encoding=utf-16", "nonsense=1"])
def test_a_parameter_by_which_no_value_would_be_found_is_refused_at_the_start(parameter: str) -> None:
    with pytest.raises(SettingsError, match=f"has the parameter '{parameter.partition('=')[0]}'; expected one of"):
        FeaturesRedis(f"redis://127.0.0.1:6379/0?db=1&{parameter}")


def test_parameters_of_the_connection_are_taken() -> None:
    FeaturesRedis("rediss://127.0.0.1:6379/0?protocol=3&socket_timeout=0.5&ssl_ca_certs=/etc/ssl/ca.pem")
