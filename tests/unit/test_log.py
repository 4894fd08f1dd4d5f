"""A log that a full disk and a hostile caller cannot misuse."""

import io
import logging

import pytest

from services.core.limits import escaped
from services.entrypoints.log import AGAIN_SECONDS, KNOWN_AT_MOST, EscapedFormatter, Seldom, repeat_seldom


class Log:
    """A logger of its own, whose records come at `now`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.text = io.StringIO()
        self.logger = logging.Logger("test")
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(EscapedFormatter("%(levelname)s %(message)s"))
        handler.addFilter(Seldom())
        self.logger.addFilter(self._dated)
        self.logger.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()

    def _dated(self, record: logging.LogRecord) -> bool:
        record.created = self.now
        return True


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_same_trouble_is_told_once_in_a_while_with_how_often_it_came(log: Log) -> None:
    for number in range(100):
        log.logger.warning("toy: disk full at position %d; trying again", number)
        log.now += 0.5
    assert log.lines == [
        "WARNING toy: disk full at position 0; trying again",
        "WARNING toy: disk full at position 60; trying again (and 59 more like it in the last 30 s or so)",
    ]


def test_a_traceback_is_told_once_in_a_while_and_one_of_another_error_at_once(log: Log) -> None:
    for error in [OSError(28, "No space left")] * 3 + [ValueError("something else")]:
        try:
            raise error
        except (OSError, ValueError):
            log.logger.exception("looking for a new version of toy failed")
    assert [line for line in log.lines if line.startswith("ERROR")] == [
        "ERROR looking for a new version of toy failed"
    ] * 2
    assert sum(line.startswith("Traceback") for line in log.lines) == 2


def test_what_happens_to_another_model_or_is_no_trouble_is_told(log: Log) -> None:
    for model in ("churn", "listing_scam"):
        log.logger.warning("%s could not be judged", model)
    for number in (1, 2):
        log.logger.info("stored %d events", number)
    log.logger.info("stored 2 events")
    assert log.lines == [
        "WARNING churn could not be judged",
        "WARNING listing_scam could not be judged",
        "INFO stored 1 events",
        "INFO stored 2 events",
    ]


def test_a_clock_that_is_set_back_keeps_nothing_back(log: Log) -> None:
    log.logger.warning("away")
    log.now -= 10_000
    log.logger.warning("away")
    assert log.lines == ["WARNING away", "WARNING away"]


def test_memory_does_not_grow_with_what_is_logged(log: Log) -> None:
    seldom = Seldom()
    for number in range(3 * KNOWN_AT_MOST):
        record = logging.LogRecord("test", logging.INFO, "", 0, "line %d", (number,), None)
        assert seldom.filter(record)
    assert len(seldom._last) <= KNOWN_AT_MOST


def test_a_line_that_cannot_be_put_together_ends_nobody(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.logger.warning("stored %d events", "many")
    log.logger.warning("stored %d events", 2)
    assert log.lines == ["WARNING stored 2 events"]
    assert "Arguments: ('many',)" in capsys.readouterr().err


def test_what_another_handler_lets_through_is_counted_once() -> None:
    text = io.StringIO()
    logger = logging.Logger("test")
    for _ in range(2):
        handler = logging.StreamHandler(text)
        handler.addFilter(Seldom())
        logger.addHandler(handler)
    logger.warning("away")
    logger.warning("away")
    assert text.getvalue() == "away\naway\n"


def test_handlers_of_others_get_the_same_once(log: Log) -> None:
    handler = logging.StreamHandler(log.text)
    logger = logging.getLogger("tests.of.another.server")
    logger.addHandler(handler)
    try:
        repeat_seldom()
        repeat_seldom()
        assert sum(isinstance(each, Seldom) for each in handler.filters) == 1
    finally:
        logger.removeHandler(handler)


def test_a_line_is_one_line_and_moves_no_cursor(log: Log) -> None:
    log.logger.error("entity %s", "\x1b[2J\x9b\r\u202egpj.exe\u2028\nERROR forged")
    assert log.lines == [r"ERROR entity \x1b[2J\x9b\r\u202egpj.exe\u2028\nERROR forged"]


@pytest.mark.parametrize("text", ["plain", "Müller, 東京, 🎉", "a b", ""])
def test_what_can_be_shown_stays_as_it_is(text: str) -> None:
    assert escaped(text) == text


def test_a_lone_surrogate_can_be_printed_escaped() -> None:
    assert escaped("a\ud800b\n", keep="\n") == "a\\ud800b\n"
    assert AGAIN_SECONDS > 1
