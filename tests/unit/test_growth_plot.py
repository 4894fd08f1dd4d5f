"""The curves of the growth benchmark, as a file."""

from xml.etree import ElementTree as Xml

from tests.benchmarks.growth import table
from tests.benchmarks.plot import growth_svg

GROWS = {
    "models": {"sizes": [3, 10, 50], "costs": {"a round, ms": [0.0, 1.0, 2.0], "flat < all": [5.0, 5.0, 5.0]}},
    "records": {"sizes": [10, 1_000], "costs": {"seconds": [0.5, 0.1]}},
}
SVG = "{http://www.w3.org/2000/svg}"


def test_each_cost_has_a_curve_of_its_own_beside_that_of_the_size() -> None:
    drawn = Xml.fromstring(growth_svg(GROWS))  # noqa: S314 - of our own
    lines = [each.get("class") for each in drawn.iter(f"{SVG}polyline")]
    assert (lines.count("c"), lines.count("g")) == (3, 2)
    assert {"models", "flat < all", "× 1"} <= {each.text for each in drawn.iter(f"{SVG}text")}


def test_a_cost_that_does_not_grow_is_a_level_line() -> None:
    drawn = Xml.fromstring(growth_svg({"models": GROWS["models"]}))  # noqa: S314 - of our own
    *_, flat = (each.get("points") or "" for each in drawn.iter(f"{SVG}polyline"))
    assert len({point.split(",")[1] for point in flat.split()}) == 1


def test_the_same_figures_give_the_same_file() -> None:
    assert growth_svg(GROWS) == growth_svg(GROWS)


def test_the_table_has_a_column_for_each_size() -> None:
    assert "| models | 3 | 10 | 50 |" in table({"grows": GROWS})
    assert "| flat < all | 5 | 5 | 5 |" in table({"grows": GROWS})
