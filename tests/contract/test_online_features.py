"""What every store of online features promises. A further adapter joins by a line in `ADAPTERS`."""

import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from services.adapters.features_redis import FeaturesRedis
from services.adapters.features_sqlite import FeaturesSqlite
from services.core.errors import ContentRefused, FeatureSourceDown
from services.core.features import Reading, WriteResult
from services.core.ports import OnlineFeatures
from tests.servers.redis import url_of
from tests.toy import NOON

ADAPTERS: dict[str, Callable[[pytest.FixtureRequest], OnlineFeatures]] = {
    "sqlite": lambda request: FeaturesSqlite(request.getfixturevalue("tmp_path") / "features.sqlite"),
    "redis": lambda request: FeaturesRedis(
        url_of(request.getfixturevalue("redis")), prefix=request.getfixturevalue("prefix")
    ),
}
LATER = NOON + timedelta(hours=1)
Put = Callable[[str, str], None]
"""Puts something in the place of a value of user-1, as somebody else's program could: its name, and what is kept."""


def put_into_file(request: pytest.FixtureRequest, name: str, kept: str) -> None:
    row = "UPDATE entities SET readings = replace(readings, ?, ?) WHERE entity_id = 'user-1'"
    with closing(sqlite3.connect(request.getfixturevalue("tmp_path") / "features.sqlite")) as file, file:
        file.execute(row, (f'"{name}":[1.0,1772366400000000]', f'"{name}":{kept}'))


def put_into_redis(request: pytest.FixtureRequest, name: str, kept: str) -> None:
    with Redis.from_url(url_of(request.getfixturevalue("redis"))) as server:
        (key,) = server.keys(f"{request.getfixturevalue('prefix')}:*:user-1")
        server.hset(key, name, kept)


PUTS = {"sqlite": put_into_file, "redis": put_into_redis}
FOREIGN = {
    "sqlite": ["null", "1.5", "[1.5]", '["soon"]', '[1.5,"soon"]', "[[1],12]", "[1.5,1e30]", f"[1.5,{10**20}]"],
    "redis": ["", "1.5", "soon:1.5", "12:", "12:{", "12:[1]", "12:1,2", f"{10**20}:1", f'{2 * 10**17}:"x'],
}


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


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


async def test_of_two_values_of_the_same_moment_the_one_written_last_wins_however_often(
    features: OnlineFeatures,
) -> None:
    for value in (10.0, 99.0, 10.0, "ninety", True, 1.0, None, 0.5):
        await features.write("toy", "user-1", {"visits": Reading(value, NOON)})

        found = (await features.read("toy", "user-1", ["visits"]))["visits"]
        assert found == Reading(value, NOON)
        assert type(found.value) is type(value)


async def test_a_write_tells_of_each_value_what_became_of_it(features: OnlineFeatures) -> None:
    first = {"visits": Reading(1.0, NOON), "mood": Reading(1.0, LATER), "plan": Reading("a", NOON)}
    assert await features.write("toy", "user-1", first) == dict.fromkeys(first, WriteResult.WRITTEN)
    assert await features.write("toy", "user-1", first) == dict.fromkeys(first, WriteResult.DUPLICATE)

    second = {
        "visits": Reading(2.0, LATER),
        "mood": Reading(2.0, NOON),
        "plan": Reading("b", NOON),
        "more": Reading(1.0, NOON),
    }
    assert await features.write("toy", "user-1", second) == {
        "visits": WriteResult.WRITTEN,
        "mood": WriteResult.KEPT_NEWER,
        "plan": WriteResult.CORRECTED,
        "more": WriteResult.WRITTEN,
    }
    assert await features.read("toy", "user-1", list(second)) == second | {"mood": first["mood"]}
    assert await features.write("toy", "user-1", {}) == {}


@pytest.mark.parametrize(("before", "after"), [(1.0, True), (0.0, False), (1.0, "1.0"), (None, "null"), ("", None)])
async def test_values_of_another_type_are_no_duplicates(
    features: OnlineFeatures, before: float | str | None, after: float | str | bool | None
) -> None:
    await features.write("toy", "user-1", {"visits": Reading(before, NOON)})

    assert await features.write("toy", "user-1", {"visits": Reading(after, NOON)}) == {"visits": WriteResult.CORRECTED}


async def test_what_a_clock_that_was_ahead_has_left_does_not_win_over_the_present(features: OnlineFeatures) -> None:
    ahead = Reading(2.0, NOON + timedelta(days=500))
    await features.write("toy", "user-1", {"visits": ahead, "mood": Reading(1.0, LATER)})

    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON)})
    assert (await features.read("toy", "user-1", ["visits"]))["visits"] == ahead
    now = {"visits": Reading(1.0, NOON), "mood": Reading(0.0, NOON)}
    results = await features.write("toy", "user-1", now, not_after=LATER)
    assert results == {"visits": WriteResult.WRITTEN, "mood": WriteResult.KEPT_NEWER}

    found = await features.read("toy", "user-1", ["visits", "mood"])
    assert found == {"visits": Reading(1.0, NOON), "mood": Reading(1.0, LATER)}


async def test_one_look_up_finds_the_names_asked_for_and_leaves_out_what_is_not_there(
    features: OnlineFeatures,
) -> None:
    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON), "mood": Reading(2.0, NOON)})

    assert set(await features.read("toy", "user-1", ["visits", "absent"])) == {"visits"}


@pytest.mark.parametrize(
    ("features", "kept"), [(adapter, kept) for adapter in ADAPTERS for kept in FOREIGN[adapter]], indirect=["features"]
)
async def test_what_somebody_else_has_put_in_a_values_place_counts_as_absent_and_gives_way_to_a_write(
    features: OnlineFeatures, kept: str, request: pytest.FixtureRequest
) -> None:
    one = Reading(1.0, NOON)
    await features.write("toy", "user-1", {"visits": one, "mood": one})
    PUTS[request.node.callspec.params["features"]](request, "visits", kept)

    assert await features.read("toy", "user-1", ["visits", "mood"]) == {"mood": one}

    await features.write("toy", "user-1", {"visits": one})

    assert await features.read("toy", "user-1", ["visits", "mood"]) == {"visits": one, "mood": one}


@pytest.mark.parametrize("row", [b"", b"\xff", b"[]", b"no JSON", b'{"visits":' + b"[" * 100_000, 5])
async def test_a_row_that_cannot_be_read_counts_as_absent_and_gives_way_to_a_write(
    tmp_path: Path, row: bytes | int
) -> None:
    features = FeaturesSqlite(tmp_path / "features.sqlite")
    with closing(sqlite3.connect(tmp_path / "features.sqlite")) as file, file:
        file.execute("INSERT INTO entities VALUES ('toy', 'user-1', ?)", (row,))

    assert await features.read("toy", "user-1", ["visits"]) == {}

    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON)})

    assert await features.read("toy", "user-1", ["visits"]) == {"visits": Reading(1.0, NOON)}
    await features.close()


@pytest.mark.parametrize(
    ("entity_id", "reading"),
    [
        ("\ud800", Reading(1.0, NOON)),
        ("user-1", Reading("\ud800", NOON)),
        ("user-1", Reading(1.0, datetime(2026, 3, 1))),  # noqa: DTZ001 - what cannot be kept
    ],
    ids=["entity", "value", "time"],
)
async def test_what_cannot_be_kept_is_refused_for_good_and_the_source_is_not_down(
    features: OnlineFeatures, entity_id: str, reading: Reading
) -> None:
    with pytest.raises(ContentRefused):
        await features.write("toy", entity_id, {"visits": reading})

    await features.write("toy", "user-1", {"visits": Reading(1.0, NOON)})


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
