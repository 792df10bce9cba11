"""Models as files for other tools."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from descend.encoding import Unseen
from service.dependencies import GUARDS, ModelId, PartsOf
from service.exports import MEDIA_TYPES, ExportDtype, ExportFormat, export
from service.openapi import file_response, refusals

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=GUARDS)


@router.get(
    "/{model_id}/export",
    response_class=Response,
    responses={200: file_response(*MEDIA_TYPES.values()), **refusals(404, 422, 503)},
)
def export_model(
    parts: PartsOf,
    model_id: ModelId,
    *,
    format: Annotated[ExportFormat, Query(description="of the file")],  # noqa: A002  of the wire
    dtype: Annotated[
        ExportDtype, Query(description="of the file's numbers; JSON has but one kind")
    ] = "float64",
    unseen: Annotated[
        Unseen,
        Query(description="what ONNX makes of a level it was not trained on: NaN, or the base"),
    ] = "error",
) -> Response:
    """Download a model as a file that other tools load."""
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
    file = export(model, format, dtype=dtype, unseen=unseen)
    headers = {"content-disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, 200, headers, file.media_type)
