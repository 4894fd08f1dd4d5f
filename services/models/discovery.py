"""Finds the models: every folder beside this file that has a `spec.py` with a `SPEC`."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from services.core.errors import SpecError, UnknownModel
from services.core.spec import ModelSpec
from services.core.world import WorldEvent, WorldFactory

PACKAGE = "services.models"


@cache
def discover() -> dict[str, ModelSpec]:
    """All models by name, in alphabetical order. Raises `SpecError` for a folder whose spec does not fit."""
    folders = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.ispkg)
    return {name: _spec_in(name) for name in sorted(folders)}


def spec_of(name: str) -> ModelSpec:
    models = discover()
    if name not in models:
        raise UnknownModel(f"found model {name[:64]!r}, expected one of {', '.join(models)}")
    return models[name]


def folder_of(name: str) -> Path:
    """The model's folder, where its card and mappings lie."""
    return Path(__file__).parent / spec_of(name).name


def world_of(name: str) -> WorldFactory:
    """The factory of the model's simulated world."""
    factory: WorldFactory = importlib.import_module(f"{PACKAGE}.{spec_of(name).name}.world").build_world
    return factory


def story_of(name: str) -> tuple[WorldEvent, ...]:
    """What happens to the model's world in a demonstration: `STORY` in its `world.py`."""
    story: tuple[WorldEvent, ...] = importlib.import_module(f"{PACKAGE}.{spec_of(name).name}.world").STORY
    return story


def _spec_in(folder: str) -> ModelSpec:
    spec = getattr(importlib.import_module(f"{PACKAGE}.{folder}.spec"), "SPEC", None)
    if not isinstance(spec, ModelSpec):
        raise SpecError(f"services/models/{folder}/spec.py has no SPEC of type ModelSpec; add one or remove the folder")
    if spec.name != folder:
        raise SpecError(f"services/models/{folder}/spec.py names its model {spec.name!r}; expected {folder!r}")
    return spec
