"""A new model, as it is written, in a copy of this checkout: it passes everything that models have to pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("services", "monitoring", "tests")
NAME = "never_seen_before"


LINT_IMPORTS = str(Path(sys.executable).with_name("lint-imports"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of this checkout, with a new model in it."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    told, out = ended(started(copy, *python("monitoring.entrypoints.cli", "new-model", NAME)))
    assert told == 0, out
    assert f"{copy / 'services' / 'models' / NAME} is a working model" in out
    return copy


def python(*module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *module)


def started(checkout: Path, *command: str) -> subprocess.Popen[str]:
    """A command in the copy, whose packages come before the installed ones."""
    return subprocess.Popen(
        command,
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=200)
    return process.returncode, out


def test_it_passes_the_model_tests_and_the_checks_of_types_style_and_imports(checkout: Path) -> None:
    folder = f"services/models/{NAME}"
    checks = {
        "pytest": started(checkout, *python("pytest", "tests/models", "-k", NAME, "-p", "no:cacheprovider")),
        "mypy": started(checkout, *python("mypy", folder)),
        "ruff check": started(checkout, *python("ruff", "check", "--no-cache", folder)),
        "ruff format": started(checkout, *python("ruff", "format", "--check", "--no-cache", folder)),
        "lint-imports": started(checkout, LINT_IMPORTS, "--no-cache"),
    }
    told = {name: ended(process) for name, process in checks.items()}

    assert {name: out for name, (code, out) in told.items() if code} == {}
    assert "0 broken" in told["lint-imports"][1]


def test_a_history_of_it_is_checked_with_the_mapping_that_it_ships(checkout: Path) -> None:
    path = checkout / "history.csv"
    columns = "customer_id,decided_at,paid_late,paid_late_known_at,amount,terms_days,customer_kind,late_share_12m"
    path.write_text(
        f"{columns},open_invoices,ledger_closed_at\n"
        "c1,2026-03-01 09:00,no,2026-03-08 09:00,120.5,30,company,0.1,2,2026-03-01 03:00\n"
        "c2,2026-03-01 10:00,yes,2026-03-08 10:00,80,14,private,0.5,1,2026-03-02 03:00\n"
    )
    code, out = ended(started(checkout, *python("monitoring.entrypoints.cli", "check", NAME, "--csv", str(path))))

    assert code == 1
    assert f"refused: {NAME}: 'late_share_12m' is known 17 h after the decision in 50 % of rows" in out
