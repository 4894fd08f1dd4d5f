"""Ids and letters that every store can keep."""

from hypothesis import given
from hypothesis import strategies as st

from services.core.letters import findable, keepable
from services.core.limits import id_problem
from services.core.records import DeadLetter
from tests.toy import NOON

ANY = st.text(st.characters(exclude_categories=()), max_size=300)


@given(ANY)
def test_a_findable_id_can_be_kept_and_is_found_by_itself(text: str) -> None:
    assert id_problem(findable(text)) is None
    assert findable(findable(text)) == findable(text)


@given(ANY, ANY)
def test_ids_that_differ_stay_different(one: str, other: str) -> None:
    assert (findable(one) == findable(other)) == (one == other or findable(one) == other or one == findable(other))


def test_an_id_that_can_be_kept_is_its_own() -> None:
    assert findable("0190a3c4-7e1f-7000-8000-1234567890ab") == "0190a3c4-7e1f-7000-8000-1234567890ab"


def test_a_letter_with_nothing_wrong_stays_as_it_is() -> None:
    sound = DeadLetter(
        event_id="e", reason="undecodable", detail="no JSON", origin="o@1", type="t", key="k", data=b"\x00\xff", at=NOON
    )
    assert keepable(sound) == sound
