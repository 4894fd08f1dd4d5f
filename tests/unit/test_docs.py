"""The documentation is true where a machine can tell."""

import re
from pathlib import Path

import pytest

from monitoring.entrypoints.cli import main
from services.entrypoints.http_problems import CODES, ROUTING_CODES, STATUS
from services.models.discovery import discover, folder_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/models/*/README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())

    local = [link for link in links if not link.startswith("http")]

    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_decision_is_in_the_index() -> None:
    pages = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")} - {"README.md"}

    assert pages == set(re.findall(r"\(([\w-]+\.md)\)", (ROOT / "docs" / "decisions" / "README.md").read_text()))


def test_the_readme_names_every_command_and_no_other() -> None:
    table = re.search(r"## The parts(.*?)## Further", (ROOT / "README.md").read_text(), re.DOTALL)
    assert table is not None
    named = {words.split()[0] for words in re.findall(r"`([a-z][a-z -]*)`", table[1])} - {"bellwether", "make"}

    assert named | {"up"} == set(main.commands)


def test_every_target_that_the_readme_tells_to_make_exists() -> None:
    told = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text())) - {"are"}

    assert told <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_path_in_the_architecture_page_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`((?:services|monitoring)/[\w/.]+)`", text)

    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_test_and_every_fault_that_the_reliability_page_names_exists() -> None:
    from tests.faults.faults import FAULTS
    from tests.faults.scenarios import SCENARIOS

    promises = (ROOT / "docs" / "reliability.md").read_text().partition("## What we do not promise")[0]
    tests = re.findall(r"`(tests/[\w/.]+)`", promises)
    rows = set(
        re.findall(r"`([^`/]+)`", "\n".join(line.split("|")[3] for line in promises.splitlines() if "tests/" in line))
    )

    assert tests
    assert [path for path in tests if not (ROOT / path).exists()] == []
    assert rows - {*(fault.name for fault in FAULTS), *(scenario.name for scenario in SCENARIOS)} == set()


@pytest.mark.parametrize("model", discover())
def test_every_model_has_a_card(model: str) -> None:
    assert (folder_of(model) / "README.md").read_text().startswith(f"# Model card: {model}")


def test_every_error_is_in_the_table_of_errors_with_its_status() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", (ROOT / "docs" / "http.md").read_text(), re.MULTILINE)
    told = {code: int(status) for code, status in rows}

    assert set(told) == CODES
    assert {code: told[code] for code in ROUTING_CODES.values()} == {code: each for each, code in ROUTING_CODES.items()}
    assert {error.code: told[error.code] for error in STATUS} == {each.code: STATUS[each].value for each in STATUS}


def test_every_dependency_says_why_it_is_here() -> None:
    declared = re.findall(r'^    "([a-z][a-z0-9-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    reasons = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()
    run_time = declared[: declared.index("uvicorn") + 1]

    assert [name for name in run_time if name not in reasons] == []
