"""docs/metrics.md is what the tables say."""

from pathlib import Path

from monitoring.metrics.page import page

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_written_from_the_tables() -> None:
    assert PAGE.read_text() == page()


def test_every_process_has_its_section() -> None:
    titles = [line.removeprefix("## ") for line in page().splitlines() if line.startswith("## ")]
    assert titles == ["Prediction service", "Consumer", "Forwarder", "Monitor", "Lifecycle"]
