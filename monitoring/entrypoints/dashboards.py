"""`bellwether dashboards`: writes Grafana's dashboards, or says which files differ from what it would write."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from monitoring.dashboards.build import as_text, dashboards
from services.models.discovery import discover

DIRECTORY: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"


def texts(monitor_url: str) -> dict[str, str]:
    """File name → content, for the models that there are. Raises `DashboardError`."""
    built = dashboards(discover(), monitor=monitor_url)
    return {f"{uid}.json": as_text(dashboard) for uid, dashboard in built.items()}


def write(wanted: Mapping[str, str], directory: Path = DIRECTORY) -> list[str]:
    """Leave in the directory what is wanted and no other dashboard; says what it changed."""
    changed = sorted(differences(wanted, directory))
    directory.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in wanted:
            (directory / name).write_text(wanted[name])
        else:
            (directory / name).unlink()
    return changed


def differences(wanted: Mapping[str, str], directory: Path = DIRECTORY) -> Iterator[str]:
    """Names of files that are missing, differ by a byte, or should not be there."""
    found = {path.name: path.read_text() for path in directory.glob("*.json")}
    return (name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
