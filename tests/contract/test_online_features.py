"""What every store of online features promises. A further adapter joins by a line in `ADAPTERS`."""

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from services.adapters.features_redis import FeaturesRedis
from services.adapters.features_sqlite import FeaturesSqlite
from services.core.errors import FeatureSourceDown
from services.core.features import Reading
from services.core.ports import OnlineFeatures
from tests.servers.redis import url_of
from tests.toy import NOON

ADAPTERS: dict[str, Callable[[pytest.FixtureRequest], OnlineFeatures]] = {
    "sqlite": lambda request: FeaturesSqlite(request.getfixturevalue("tmp_path") / "features.sqlite"),
    "redis": lambda request: FeaturesRedis(url_of(request.getfixturevalue("redis")), prefix=uuid.uuid4().hex),
}
LATER = NOON + timedelta(hours=1)


@pytest.fixture(params=ADAPTERS)
async def features(request: pytest.FixtureRequest) -> AsyncIterator[OnlineFeatures]:
    opened = ADAPTERS[request.param](request)
    yield opened
    await opened.close()


async def test_a_value_comes_back_with_its_own_time_to_the_microsecond(features: OnlineFeatures) -> None:
    observed_at = NOON + timedelta(microseconds=1)
    await features.write("toy", "user-1", {"visits": Reading(3.5, observed_at)})

    assert await features.read("toy", "user-1", ["visits"]) == {"visits": Reading(3.5, observed_at)}


@pytest.mark.parametrize("value", [0.0, -1.5, 1e300, "", "fiber optic", "ß", True, False, None])
async def test_every_kind_of_value_survives_as_what_it_was(
    features: OnlineFeatures, value: float | str | bool | None
) -> None:
    await features.write("toy", "user-1", {"visits": Reading(value, NOON)})

    found = (await features.read("toy", "user-1", ["visits"]))["visits"].value

    assert found == value
    assert type(found) is type(value)


async def test_the_latest_observation_wins_in_whatever_order_they_are_written(features: OnlineFeatures) -> None:
    await features.write("toy", "user-1", {"visits": Reading(2.0, LATER)})
    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON)})

    assert (await features.read("toy", "user-1", ["visits"]))["visits"] == Reading(2.0, LATER)


async def test_what_a_clock_that_was_ahead_has_left_does_not_win_over_the_present(features: OnlineFeatures) -> None:
    ahead = Reading(2.0, NOON + timedelta(days=500))
    await features.write("toy", "user-1", {"visits": ahead, "mood": Reading(1.0, LATER)})

    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON)})
    assert (await features.read("toy", "user-1", ["visits"]))["visits"] == ahead
    now = {"visits": Reading(1.0, NOON), "mood": Reading(0.0, NOON)}
    await features.write("toy", "user-1", now, not_after=LATER)

    found = await features.read("toy", "user-1", ["visits", "mood"])
    assert found == {"visits": Reading(1.0, NOON), "mood": Reading(1.0, LATER)}


async def test_one_look_up_finds_the_names_asked_for_and_leaves_out_what_is_not_there(
    features: OnlineFeatures,
) -> None:
    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON), "mood": Reading(2.0, NOON)})

    assert set(await features.read("toy", "user-1", ["visits", "absent"])) == {"visits"}


async def test_models_and_entities_do_not_see_each_other(features: OnlineFeatures) -> None:
    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON)})

    assert await features.read("toy", "user-2", ["visits"]) == {}
    assert await features.read("other", "user-1", ["visits"]) == {}


async def test_a_source_that_cannot_be_read_says_so_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    features = FeaturesSqlite(path)
    await features.close()
    path.write_bytes(b"this is no database" * 100)

    with pytest.raises(FeatureSourceDown, match=r"features\.sqlite"):
        await features.read("toy", "user-1", ["visits"])
