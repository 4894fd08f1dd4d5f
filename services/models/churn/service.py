"""churn on its own: `bentoml serve services.models.churn.service:service`."""

from services.entrypoints.bento import build_service
from services.models.churn.spec import SPEC
from services.settings import Settings

service = build_service([SPEC], Settings.from_environment(), name=SPEC.name)
