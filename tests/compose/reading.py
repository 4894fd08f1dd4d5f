"""docker-compose.yml as Compose takes it: interpolated with a profile's env file, without what other profiles add."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "deploy" / "compose"
DOCKERFILE: Final = ROOT / "deploy" / "images" / "Dockerfile"
PROFILES: Final = ("core", "full", "demo")

_INTERPOLATED: Final = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")
"""The forms that the file uses: `$$` for one `$`, `${NAME}` and `${NAME:-default}`."""


def written() -> dict[str, Any]:
    """The file as it stands, with its anchors followed."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def env_file(profile: str) -> dict[str, str]:
    """The variables of a profile's env file."""
    lines = (COMPOSE / f"{profile}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def composed(profile: str) -> dict[str, Any]:
    """What `docker compose --env-file deploy/compose/PROFILE.env` works with."""
    content: dict[str, Any] = _interpolated(written(), env_file(profile))
    services = content["services"]
    content["services"] = {name: each for name, each in services.items() if profile in each["profiles"]}
    return content


def services(profile: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = composed(profile)["services"]
    return found


def is_ours(service: Mapping[str, Any]) -> bool:
    return "build" in service


def image_environment() -> dict[str, str]:
    """What the image sets for our processes, but for the search path."""
    (block,) = re.findall(r"^ENV (.*?[^\\])$", DOCKERFILE.read_text(), re.MULTILINE | re.DOTALL)
    pairs = (pair.split("=", 1) for pair in block.replace("\\\n", " ").split())
    return {name: value for name, value in pairs if name != "PATH"}


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolated(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    if isinstance(value, str):
        return _INTERPOLATED.sub(lambda found: _meant(found, variables), value)
    return value


def _meant(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, default = found.groups()
    return "$" if name is None else variables.get(name) or default or ""
