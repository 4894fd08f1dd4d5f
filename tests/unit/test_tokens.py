"""Which texts may be tokens, and who is let in."""

import hmac

import pytest

from services.core.loopback import is_loopback
from services.core.tokens import SHORTEST, bearer_is_one_of, token_problem

OLD, NEW = "the-old-token-0123456789", "the-new-token-0123456789"


class CountingComparison:
    """The real comparison, which remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes]] = []

    def __call__(self, sent: bytes, known: bytes) -> bool:
        self.asked.append((sent, known))
        return hmac.compare_digest(sent, known)


@pytest.mark.parametrize("token", [OLD, NEW])
def test_either_of_two_tokens_is_taken_while_they_are_rotated(token: str) -> None:
    assert bearer_is_one_of(f"Bearer {token}", (OLD, NEW))


@pytest.mark.parametrize("header", [f"bearer {OLD}", f"BEARER {OLD}", f"Bearer  {OLD} "])
def test_the_scheme_may_be_written_in_any_case_and_spaces_around_the_token_do_not_count(header: str) -> None:
    assert bearer_is_one_of(header, (OLD,))


@pytest.mark.parametrize(
    "header",
    [
        "",
        OLD,
        "Bearer",
        "Bearer ",
        f"Bearer{OLD}",
        f"Basic {OLD}",
        f"Bearer {OLD[:-1]}",
        f"Bearer {OLD}x",
        f"Bearer {OLD.upper()}",
        f"Bearer {OLD}, Bearer {OLD}",
        f"Bearer {OLD} {NEW}",
        f"Bearer \xff{OLD}",
    ],
)
def test_anything_else_is_not_taken(header: str) -> None:
    assert not bearer_is_one_of(header, (OLD, NEW))


def test_nobody_is_let_in_where_no_token_is_known() -> None:
    assert not bearer_is_one_of("Bearer ", ())


@pytest.mark.parametrize("header", [f"Bearer {OLD}", f"Bearer {NEW}", "Bearer neither", f"Basic {OLD}", ""])
def test_every_token_is_compared_whatever_was_sent_so_that_time_tells_nothing(header: str) -> None:
    comparison = CountingComparison()

    bearer_is_one_of(header, (OLD, NEW), same=comparison)

    assert [known for _, known in comparison.asked] == [OLD.encode(), NEW.encode()]


def test_the_comparison_is_the_one_that_takes_the_same_time_for_every_guess() -> None:
    assert bearer_is_one_of.__kwdefaults__ == {"same": hmac.compare_digest}


@pytest.mark.parametrize("text", ["x" * SHORTEST, "aZ09-._~+/aZ09-._~+/==", OLD])
def test_what_a_header_can_carry_may_be_a_token(text: str) -> None:
    assert token_problem(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("x" * (SHORTEST - 1), "is shorter than 16 characters"),
        (f"{OLD} # the old one", "has a character that no bearer token may have"),
        (f"{OLD}é", "has a character that no bearer token may have"),
        (f"{OLD}=x", "has a character that no bearer token may have"),
        (f"{OLD}\n", "has a character that no bearer token may have"),
    ],
)
def test_what_cannot_be_a_token_is_told_why_without_a_word_of_it(text: str, why: str) -> None:
    problem = token_problem(text)

    assert problem is not None
    assert problem.startswith(why)
    assert OLD not in problem


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens there
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_only_loopback_is_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
