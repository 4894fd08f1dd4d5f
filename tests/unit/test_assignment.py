"""Arms are drawn once per entity, with the share that was asked for."""

from services.core.predictions import Arm
from services.serving.assignment import assign, draw

ENTITIES = [f"customer-{number}" for number in range(20_000)]


def arm(entity_id: str, *, salt: str = "1", share: float = 0.2) -> Arm:
    return assign(model="churn", salt=salt, entity_id=entity_id, control_share=share)


def test_an_entity_stays_in_its_arm() -> None:
    assert [arm(each) for each in ENTITIES[:100]] == [arm(each) for each in ENTITIES[:100]]


def test_the_draws_are_uniform() -> None:
    draws = [draw(model="churn", salt="1", entity_id=each) for each in ENTITIES]
    counts = [sum(tenth / 10 <= each < (tenth + 1) / 10 for each in draws) for tenth in range(10)]
    # Chi-square with 9 degrees of freedom: 27.9 is exceeded by chance once in a thousand salts.
    assert sum((count - 2000) ** 2 / 2000 for count in counts) < 27.9


def test_a_larger_share_moves_entities_into_control_and_none_out_of_it() -> None:
    small = {each for each in ENTITIES if arm(each, share=0.1) is Arm.CONTROL}
    large = {each for each in ENTITIES if arm(each, share=0.3) is Arm.CONTROL}
    assert small < large


def test_no_share_is_no_control_and_the_whole_is_all() -> None:
    assert {arm(each, share=0.0) for each in ENTITIES} == {Arm.TREATMENT}
    assert {arm(each, share=1.0) for each in ENTITIES} == {Arm.CONTROL}


def test_another_salt_and_another_model_draw_independently() -> None:
    control = {each for each in ENTITIES if arm(each) is Arm.CONTROL}
    again = {each for each in ENTITIES if arm(each, salt="2") is Arm.CONTROL}
    other = {each for each in ENTITIES if draw(model="scam", salt="1", entity_id=each) < 0.2}
    # Independent draws share 20 % of 20 %: 800 of 20,000, with a standard deviation of 28.
    assert abs(len(control & again) - 800) < 140
    assert abs(len(control & other) - 800) < 140
