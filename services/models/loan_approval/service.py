"""loan_approval on its own: `bentoml serve services.models.loan_approval.service:service`."""

from services.entrypoints.bento import build_service
from services.models.loan_approval.spec import SPEC
from services.settings import Settings

service = build_service([SPEC], Settings.from_environment(), name=SPEC.name)
