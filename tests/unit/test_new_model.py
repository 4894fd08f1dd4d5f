"""What `bellwether new-model` writes, and what it refuses to."""

import ast
import pkgutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitoring.entrypoints.cli import main
from monitoring.entrypoints.new_model.command import MODELS, TEMPLATES, NotWritten, require_checkout, write_model
from tests.models.test_specs import CARD_QUESTIONS

LONGEST = "m" * 63


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "discovery.py").write_text("")
    (tmp_path / "taken").mkdir()
    return tmp_path


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_new_model_has_the_files_of_every_model_and_each_python_file_parses(models: Path) -> None:
    folder = write_model("demo", models=models)

    assert folder == models / "demo"
    assert files(folder) == {
        "__init__.py", "spec.py", "features.py", "rule.py", "decide.py", "measures.py", "train.py", "world.py",
        "service.py", "history.toml", "README.md",
    }  # fmt: skip
    for path in folder.glob("*.py"):
        ast.parse(path.read_text())


def test_a_new_model_imports_from_its_own_folder_and_names_itself_everywhere(models: Path) -> None:
    folder = write_model("own_words", models=models)

    texts = [path.read_text() for path in folder.iterdir()]
    assert not [text for text in texts if "$" in text]
    assert 'name="own_words"' in (folder / "spec.py").read_text()
    assert (folder / "README.md").read_text().startswith("# Model card: own_words\n")
    assert "services.models.own_words.decide" in (folder / "rule.py").read_text()


def test_the_card_has_the_questions_that_every_card_answers(models: Path) -> None:
    card = (write_model("demo", models=models) / "README.md").read_text()

    assert [each for each in CARD_QUESTIONS if f"### {each}\n" not in card] == []


def test_every_place_to_edit_is_marked(models: Path) -> None:
    folder = write_model("demo", models=models)

    silent = {path.name for path in folder.iterdir() if "Edit:" not in path.read_text()}
    assert silent == {"__init__.py", "service.py"}


def test_no_line_is_too_long_with_the_longest_name(models: Path) -> None:
    folder = write_model(LONGEST, models=models)

    assert [line for path in folder.glob("*.py") for line in path.read_text().splitlines() if len(line) > 120] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Fraud-Check", "'Fraud-Check' is not snake_case; .*, such as 'fraud_check'"),
        ("2fast", "is not snake_case"),
        ("", "is not snake_case"),
        ("m" * 64, "is not snake_case"),
        ("../demo", "is not snake_case; .*, such as 'demo'"),
        ("demo\n", "is not snake_case"),
        ("class", "'class' is a word of Python"),
        ("discovery", r"'discovery' is taken by .*discovery\.py"),
        ("taken", "taken exists already; choose another name, or remove that folder"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(models: Path, name: str, message: str) -> None:
    with pytest.raises(NotWritten, match=message):
        write_model(name, models=models)

    assert files(models) == {"discovery.py", "taken"}
    assert files(models / "taken") == set()


def test_nothing_is_left_when_a_file_cannot_be_written(models: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    templates = tmp_path_factory.mktemp("templates")
    (templates / "a.py.tmpl").write_text("")
    (templates / "b.py.tmpl").mkdir()

    with pytest.raises(NotWritten, match="demo cannot be written: Is a directory"):
        write_model("demo", models=models, templates=templates)

    assert files(models) == {"discovery.py", "taken"}


def test_a_folder_that_is_not_whole_yet_is_no_model(models: Path) -> None:
    (models / ".demo.4711").mkdir()

    assert [each.name for each in pkgutil.iter_modules([str(models)]) if each.ispkg] == []


def test_a_package_that_is_no_checkout_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match=r"no checkout that can be written to.*clone the repository"):
        require_checkout(tmp_path / "site-packages" / "services" / "models")


def test_this_checkout_can_be_written_to_and_has_the_templates() -> None:
    require_checkout(MODELS)
    assert len(list(TEMPLATES.glob("*.tmpl"))) == 11


def test_the_command_refuses_a_taken_name_in_one_line() -> None:
    told = CliRunner().invoke(main, ["new-model", "churn"])

    assert told.exit_code == 1
    assert told.stderr.startswith("bellwether: ")
    assert "exists already" in told.stderr
