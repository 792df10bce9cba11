"""The page at `/`, for browsers; programs that ask there are told what this is."""

from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel, ConfigDict

from descend.errors import NotFound
from service.answers import answer
from service.dependencies import known_query
from service.openapi import refusals
from service.pages import assets, index

router = APIRouter(tags=["health"])

Encodings = Annotated[str, Header(alias="accept-encoding", include_in_schema=False)]
Known = Annotated[str, Header(alias="if-none-match", include_in_schema=False)]
PAGE: dict[str, object] = {
    "content": {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>…"}}
}


class About(BaseModel):
    """What answers here."""

    model_config = ConfigDict(frozen=True)

    name: Literal["descend"] = "descend"
    version: str
    openapi: Literal["/openapi.json"] = "/openapi.json"


@router.get(
    "/",
    response_model=About,
    dependencies=[Depends(known_query)],
    responses={200: PAGE, **refusals(422)},
)
async def get_about(
    *,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    encodings: Encodings = "",
    known: Known = "",
) -> Response:
    """Say what this is; to a browser (Accept: text/html), with the dashboard."""
    page = index() if "text/html" in accept.lower() else None
    if page is not None:
        return page.response(accept_encoding=encodings, if_none_match=known)
    return answer(About(version=version("descend")))


@router.get("/assets/{name}", include_in_schema=False)
async def get_asset(name: str, *, encodings: Encodings = "", known: Known = "") -> Response:
    """Send a script, a style or a picture of the dashboard."""
    asset = assets().get(name)
    if asset is None:
        raise NotFound
    return asset.response(accept_encoding=encodings, if_none_match=known)
