"""The check of the lock finds what is in a list, and says so where it has none."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "setup" / "advisories"
LOCK = "some-thing==1.5.0 \\\n    --hash=sha256:00\nother==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"


def advisory(name: str, *, events: list[dict[str, str]] | None = None, **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": events or []}],
    }
    affected |= {"versions": more.pop("versions", [])}
    return {
        "id": "PYSEC-1",
        "summary": "Reads too much",
        "modified": "2026-11-01T00:00:00Z",
        "affected": [affected],
    } | more


def compared(tmp_path: Path, *advisories: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "lock").write_text(LOCK)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, each in enumerate(advisories):
            archive.writestr(f"{number}.json", json.dumps(each))
    return run(str(tmp_path / "all.zip"), str(tmp_path / "lock"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False, env={}
    )


@pytest.mark.parametrize(
    "found",
    [
        advisory("Some.Thing", events=[{"introduced": "0"}, {"fixed": "1.5.1"}]),
        advisory("some-thing", events=[{"introduced": "1.0"}, {"last_affected": "1.5.0"}]),
        advisory("some_thing", events=[{"introduced": "1.0"}]),
        advisory("some-thing", versions=["1.5.0"]),
    ],
)
def test_a_locked_version_that_an_advisory_speaks_of_is_named(found: dict[str, Any], tmp_path: Path) -> None:
    ended = compared(tmp_path, found)
    assert ended.returncode == 1
    assert "compared 2 locked packages with 1 advisories, the newest of 2026-11-01" in ended.stdout
    assert "some-thing 1.5.0: PYSEC-1 Reads too much" in ended.stdout


@pytest.mark.parametrize(
    "harmless",
    [
        advisory("some-thing", events=[{"introduced": "0"}, {"fixed": "1.5.0"}]),
        advisory("some-thing", events=[{"introduced": "1.6"}]),
        advisory("some-thing", events=[{"introduced": "0"}], withdrawn="2026-10-01T00:00:00Z"),
        advisory("something-else", events=[{"introduced": "0"}]),
    ],
)
def test_other_versions_and_packages_are_not(harmless: dict[str, Any], tmp_path: Path) -> None:
    ended = compared(tmp_path, harmless)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "none of them is in an advisory")


def test_without_a_list_it_says_that_nothing_was_compared(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in ([], [str(tmp_path / "nowhere")], [str(tmp_path / "empty")]):
        ended = run(*arguments)
        assert ended.returncode == 3
        assert "NOTHING WAS COMPARED" in ended.stderr
        assert "make advisories LIST=all.zip" in ended.stderr
