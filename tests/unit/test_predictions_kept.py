"""How many predictions there are, without counting more than a million."""

import sqlite3
from contextlib import closing
from pathlib import Path

from services.adapters.record_store import RecordStoreSql
from services.core.records import Batch
from tests.toy import prediction

ROWS = 1200


def kept(path: Path, *, level: int) -> int:
    """Of so many predictions, all of which have this level of draws."""
    with closing(RecordStoreSql(f"sqlite:///{path}")) as store:
        store.migrate()
        store.commit(Batch([prediction(number) for number in range(ROWS)], [], []), consumer="c", position=1)
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE predictions SET level = ?", (level,))
            database.commit()
        return store.predictions_kept("toy")


def test_up_to_a_million_every_prediction_is_counted(tmp_path: Path) -> None:
    assert kept(tmp_path / "records.sqlite", level=9) == ROWS


def test_above_those_of_a_rare_level_tell_how_many_there_are(tmp_path: Path) -> None:
    assert kept(tmp_path / "some.sqlite", level=10) == ROWS * 2**10
    assert kept(tmp_path / "many.sqlite", level=17) == ROWS * 2**17
