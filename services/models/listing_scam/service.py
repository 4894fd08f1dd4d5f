"""listing_scam on its own: `bentoml serve services.models.listing_scam.service:service`."""

from services.entrypoints.bento import build_service
from services.models.listing_scam.spec import SPEC
from services.settings import Settings

service = build_service([SPEC], Settings.from_environment(), name=SPEC.name)
