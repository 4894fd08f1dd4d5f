"""`bellwether check MODEL`, before a deploy: would workers with the spec as it is here serve the champion?"""

from dataclasses import asdict, dataclass
from typing import Any

from services import bootstrap
from services.core.artifacts import Manifest
from services.core.errors import BellwetherError
from services.core.records import CHAMPION
from services.core.spec import Categorical, ModelSpec
from services.serving.fit import categories_of
from services.serving.runtime import load
from services.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCheck:
    """`refused` says why no worker would serve the champion, "" where they would; `notes` what it does not know."""

    model: str
    champion: str
    refused: str = ""
    notes: tuple[str, ...] = ()

    def as_body(self) -> dict[str, Any]:
        return asdict(self)


def check_champion(settings: Settings, spec: ModelSpec) -> VersionCheck:
    """Load the champion as a worker with this spec would. Raises `StoreUnavailable`."""
    model = spec.name
    champion, recorded = _champion(settings, model)
    if not champion:
        return VersionCheck(model=model, champion="")
    directory = bootstrap.model_store(settings).directory
    try:
        manifest = load(directory(model, champion), spec, manifest_sha256=recorded, version=champion).manifest
    except (BellwetherError, OSError) as error:
        return VersionCheck(model=model, champion=champion, refused=str(error))
    return VersionCheck(model=model, champion=champion, notes=tuple(_untrained(spec, manifest)))


def lines(check: VersionCheck) -> list[str]:
    if not check.champion:
        return [f"{check.model}: no version is promoted, so the rule answers"]
    if check.refused:
        return [
            f"{check.model}: this spec refuses champion {check.champion}: {check.refused}",
            "deployed like this, the rule gives every answer",
        ]
    return [f"{check.model}: this spec serves champion {check.champion}", *(f"note: {each}" for each in check.notes)]


def _champion(settings: Settings, model: str) -> tuple[str, str]:
    """(version, its manifest's SHA-256 as it was recorded): what the home's workers follow; of a home without any,
    what the store says."""
    fleet = bootstrap.fleet_to_read(settings)
    published = fleet.published(model).get(CHAMPION)
    if published:
        return published, fleet.manifests(model).get(published, "")
    store = bootstrap.record_store_to_read(settings)
    try:
        champion = store.aliases(model).get(CHAMPION, "")
        return champion, store.manifests(model).get(champion, "")
    finally:
        store.close()


def _untrained(spec: ModelSpec, manifest: Manifest) -> list[str]:
    until = f"until a version is trained with it; `bellwether retrain {spec.name}` trains one"
    new = [name for name in spec.feature_names if name not in manifest.features]
    notes = [f"{manifest.version} was trained without {', '.join(new)} and answers as before, {until}"] if new else []
    trained = categories_of(manifest)
    for feature in spec.features:
        if isinstance(feature.kind, Categorical) and manifest.categories is not None and feature.name in trained:
            more = [each for each in feature.kind.categories if each not in trained[feature.name]]
            if more:
                notes.append(
                    f"{manifest.version} was not trained for {feature.name} {', '.join(map(repr, more))}: how it "
                    f"answers there nobody has measured, or its rule answers, {until}"
                )
    return notes
