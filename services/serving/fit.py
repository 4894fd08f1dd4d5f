"""Whether a version can serve a spec that has changed since it was trained. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from services.core.artifacts import Manifest
from services.core.errors import UnfitVersion
from services.core.features import Value
from services.core.spec import CATEGORIES_TOLD, Categorical, Feature, ModelSpec
from services.core.wording import listed
from services.serving.form import Untrained


def spec_of_version(spec: ModelSpec, manifest: Manifest) -> ModelSpec:
    """The spec with the features that the version scores with, in its own order.

    What the spec has beyond them, features and categories, is none of the version's business.

    Raises:
        UnfitVersion: the spec lacks some of them, or means something else by them; each is named.
    """
    if problems := [*_problems(spec, manifest)]:
        raise UnfitVersion(
            f"version {manifest.version} of {spec.name} was trained with what the spec does not have: "
            f"{'; '.join(problems)}. Put it back into the spec, or {remedy(spec.name)}"
        )
    return replace(
        spec,
        features=tuple(spec.feature(name) for name in manifest.features),
        slices=tuple(name for name in spec.slices if name in manifest.features),
    )


def remedy(model: str) -> str:
    """What helps against a version that cannot serve."""
    return f"go back to the one before with `bellwether rollback {model}`, or train one: `bellwether retrain {model}`"


def categories_of(manifest: Manifest) -> dict[str, list[str]]:
    """By feature, the categories that the version was trained for, as far as that is known."""
    if manifest.categories is not None:
        return manifest.categories
    found: dict[str, list[str]] = {}
    for case in manifest.canary:
        for name, value in case.features.items():
            if isinstance(value, str) and value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def untrained(manifest: Manifest, values: Mapping[str, Value]) -> Untrained | None:
    """The first word that the version was not trained for, where that is known of it: a spec can have more by now."""
    for name, trained in (manifest.categories or {}).items():
        if trained and name in values and values[name] not in trained:
            return Untrained(name, values[name], trained)
    return None


def _problems(spec: ModelSpec, manifest: Manifest) -> Iterator[str]:
    if gone := [name for name in manifest.features if name not in spec.feature_names]:
        yield f"{'feature' if len(gone) == 1 else 'features'} {', '.join(gone)}"
    categories = categories_of(manifest)
    for feature in spec.features:
        if feature.name in manifest.features:
            known = manifest.categories is not None or feature.name in categories
            yield from _changed(feature, categories.get(feature.name), known=known)


def _changed(feature: Feature, trained: list[str] | None, *, known: bool) -> Iterator[str]:
    """`trained` is None for a number, and where nothing is `known` of it."""
    if not known:
        return
    if not isinstance(feature.kind, Categorical):
        if trained is not None:
            yield f"{feature.name} as a category, which is a number now"
    elif trained is None:
        yield f"{feature.name} as a number, which is a category now"
    elif gone := [each for each in trained if each not in feature.kind]:
        yield f"{feature.name} {listed([*map(repr, gone)], at_most=CATEGORIES_TOLD)}"
