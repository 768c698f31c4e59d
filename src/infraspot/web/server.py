"""The local server: loopback only, a token in the address, every request checked before it is read."""

import io
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from infraspot.core.errors import InfraspotError
from infraspot.inference import stretch
from infraspot.serving.guard import Guard, loopback_hosts, read_body
from infraspot.web.actions import Action
from infraspot.web.background import Background, NotReadyError
from infraspot.web.proposals import (
    METHODS,
    ClickRequest,
    ClicksRequest,
    detector_rings,
    mask_of_click,
    masks_of_clicks,
)
from infraspot.web.session import RefusedError, Session
from infraspot.web.transfer import EXPORTS

STATIC = Path(__file__).parent / "static"
FILES = {path.name for path in STATIC.iterdir() if path.suffix in (".js", ".css")}
MAX_BODY = 4 << 20
THUMBNAIL = 112

Model = TypeVar("Model", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    window: str = Field(min_length=1, max_length=64)


class ActBody(_Body):
    """One action, on the version of the image that the window has seen."""

    version: int
    action: Action = Field(discriminator="kind")
    seconds: float | None = Field(default=None, ge=0, le=86_400)


class LearningBody(_Body):
    """Whether masks follow what corrected targets teach."""

    on: bool


class AdaptBody(_Body):
    """Begin an adaptation to what is marked, or stop it."""

    work: Literal["begin", "stop"]


class ExportBody(_Body):
    """A key of :data:`infraspot.web.transfer.EXPORTS`."""

    format: str

    @field_validator("format")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in EXPORTS:
            raise ValueError(f"unknown format {name!r}; known: {', '.join(EXPORTS)}")
        return name


def cookie_name(port: int) -> str:
    """The name of the token's cookie; browsers share cookies among the ports of a host."""
    return f"infraspot-token-{port}"


def make_app(session: Session, token: str, port: int, background: Background) -> ASGIApp:
    """The application; what ``background`` has not prepared yet is refused with 503, for another try."""
    at = "/api/images/{image:path}"
    routes = [
        Route("/", partial(_page, token=token, cookie=cookie_name(port))),
        Route("/static/{name}", _static),
        Route("/api/images", partial(_images, session, background)),
        Route(at + "/thumbnail", _answer(session, _thumbnail)),
        Route(at + "/pixels", _answer(session, _pixels)),
        Route(at + "/proposals", _answer(session, partial(_proposals, background))),
        Route(at + "/open", _answer(session, _open, _Body), methods=["POST"]),
        Route(at + "/keep", _answer(session, _keep, _Body), methods=["POST"]),
        Route(at + "/close", _answer(session, _close, _Body), methods=["POST"]),
        Route(at + "/act", _answer(session, _act, ActBody), methods=["POST"]),
        Route(at + "/click", _answer(session, partial(_click, background), ClickRequest), methods=["POST"]),
        Route(
            at + "/clicks", _answer(session, partial(_clicks, background), ClicksRequest), methods=["POST"]
        ),
        Route("/api/learning", _deed(partial(_learning, session), LearningBody), methods=["POST"]),
        Route("/api/adapt", _deed(partial(_adapt, background), AdaptBody), methods=["POST"]),
        Route("/api/export", _deed(partial(_export, session), ExportBody), methods=["POST"]),
    ]
    hint = "open the address that `infraspot annotate` printed"
    hosts, cookie = loopback_hosts(port), cookie_name(port)
    return Guard(Starlette(routes=routes), token, hosts, max_body=MAX_BODY, hint=hint, cookie=cookie)


async def _page(request: Request, *, token: str, cookie: str) -> Response:
    page = FileResponse(STATIC / "index.html")
    page.set_cookie(cookie, token, httponly=True, samesite="strict")
    return page


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404, "there is no such file")
    return FileResponse(STATIC / name)


def _answer(
    session: Session, work: Callable[..., Any], body: type[BaseModel] | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint on one image: find it, read the body, work in a thread, say what went wrong."""

    async def endpoint(request: Request) -> Response:
        image = request.path_params["image"]
        if image not in session.images:
            return JSONResponse({"error": f"there is no image {image!r} in this folder"}, 404)
        arguments: list[Any] = [session, image]
        if body is not None:
            read = await _read(request, body)
            if isinstance(read, Response):
                return read
            arguments.append(read)
        return await _guarded(work, *arguments)

    return endpoint


def _deed(work: Callable[..., Any], body: type[BaseModel]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint on the whole folder: read the body, work in a thread, say what went wrong."""

    async def endpoint(request: Request) -> Response:
        read = await _read(request, body)
        return read if isinstance(read, Response) else await _guarded(work, read)

    return endpoint


async def _read(request: Request, model: type[Model]) -> Model | Response:
    data = await read_body(request, MAX_BODY)
    if isinstance(data, Response):
        return data
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"cannot use this request: {where}: {first['msg']}"}, 400)


async def _guarded(work: Callable[..., Any], *arguments: Any) -> Response:
    try:
        result = await run_in_threadpool(work, *arguments)
    except RefusedError as error:
        return JSONResponse({"error": str(error)}, 409)
    except NotReadyError as error:
        return JSONResponse({"error": str(error)}, 503)
    except InfraspotError as error:
        return JSONResponse({"error": str(error)}, 422)
    return result if isinstance(result, Response) else JSONResponse(result)


async def _images(session: Session, background: Background, request: Request) -> Response:
    rows = []
    for image in session.images:
        state, _ = session.state(image)
        rows.append(
            {
                "image": image,
                "status": state.status,
                "targets": len(state.targets),
                "doubtful": sum(target.doubtful for target in state.targets),
                "uncertainty": background.uncertainties.get(image),
                "seconds": session.journal.seconds.get(image, 0.0),
            }
        )
    return JSONResponse(
        {
            "images": rows,
            "methods": {method: method in background.ready for method in METHODS},
            "formats": list(EXPORTS),
            "learning": session.learning.shown(),
            "adapting": background.adapting.shown(),
            "name": session.folder.resolve().name,
        }
    )


def _learning(session: Session, body: LearningBody) -> dict[str, Any]:
    session.switch_learning(body.window, body.on)
    return session.learning.shown()


def _adapt(background: Background, body: AdaptBody) -> dict[str, Any]:
    adapting = background.adapting
    adapting.begin() if body.work == "begin" else adapting.stop()
    return adapting.shown()


def _export(session: Session, body: ExportBody) -> dict[str, str]:
    target = session.out / "export" / body.format
    return {"message": f"{EXPORTS[body.format](session, target).sentence} -> {target}"}


def _thumbnail(session: Session, image: str) -> Response:
    grey = Image.fromarray((stretch(session.frame(image).image) * 255).astype(np.uint8))
    grey.thumbnail((THUMBNAIL, THUMBNAIL))
    png = io.BytesIO()
    grey.save(png, format="PNG")
    return Response(png.getvalue(), media_type="image/png")


def _pixels(session: Session, image: str) -> Response:
    """The whole frame as little-endian uint16, so that the page sets window and level on real values."""
    frame = session.frame(image)
    height, width = frame.image.shape
    values = np.round(frame.image * 65535).astype("<u2")
    shape = {"X-Width": str(width), "X-Height": str(height), "X-Depth": str(frame.bit_depth)}
    return Response(values.tobytes(), media_type="application/octet-stream", headers=shape)


def _open(session: Session, image: str, body: _Body) -> dict[str, Any]:
    return _shown(session, *session.open(image, body.window))


def _keep(session: Session, image: str, body: _Body) -> dict[str, Any]:
    session.keep(image, body.window)
    return {}


def _close(session: Session, image: str, body: _Body) -> dict[str, Any]:
    session.close(image, body.window)
    return {}


def _act(session: Session, image: str, body: ActBody) -> dict[str, Any]:
    return _shown(session, *session.act(image, body.window, body.version, body.action, body.seconds))


def _click(background: Background, session: Session, image: str, body: ClickRequest) -> dict[str, Any]:
    background.check(body.method)
    state, _ = session.state(image)
    target = mask_of_click(session.frame(image), body, state.targets, session.learning.level())
    return target.model_dump(mode="json")


def _clicks(background: Background, session: Session, image: str, body: ClicksRequest) -> dict[str, Any]:
    background.check(body.method)
    state, _ = session.state(image)
    targets = masks_of_clicks(session.frame(image), body, state.targets, session.learning.level())
    return {"targets": [target.model_dump(mode="json") for target in targets]}


def _proposals(background: Background, session: Session, image: str) -> dict[str, Any]:
    return {"rings": detector_rings(*background.proposer(), session.frame(image))}


def _shown(session: Session, state: BaseModel, version: int) -> dict[str, Any]:
    learning = session.learning.shown()
    return {"state": state.model_dump(mode="json"), "version": version, "learning": learning}
