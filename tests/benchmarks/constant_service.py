"""Our server with nothing of ours behind the route: what an answer costs before anything is checked or recorded."""

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.entrypoints.bento import configuration
from services.settings import Settings

ANSWER = b'{"entity_id":"C-1","score":0.25}'


async def constant(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


app = Starlette(routes=[Route("/v1/models/{model}/predict", constant, methods=["POST"])])


@bentoml.asgi_app(app, path="/")
@bentoml.service(name="constant", **configuration(Settings.from_environment()))
class Constant:
    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML ships no types
    async def predict(self) -> str:
        return ""


service = Constant
