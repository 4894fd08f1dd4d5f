"""What `bentoml serve` hosts in the integration tests."""

from services.entrypoints.bento import build_service
from services.settings import Settings
from tests.toy import toy_spec

service = build_service([toy_spec()], Settings.from_environment(), name="toy")
