"""What lists have in common: a place in one is no place in another."""

import pytest
from starlette.testclient import TestClient

from descend.ids import new_id

LISTS = {"jobs": "job", "datasets": "ds", "models": "mdl"}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("prefix", LISTS.values())
def test_a_list_goes_on_from_an_id_of_its_own_kind_only(
    client: TestClient, name: str, prefix: str
) -> None:
    response = client.get(f"/v1/{name}", params={"after": new_id(prefix)})  # type: ignore[arg-type]

    if LISTS[name] == prefix:
        assert response.json()["data"] == []
    else:
        assert response.status_code == 422
        assert response.json()["param"] == "after"
