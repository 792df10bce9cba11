"""Where the database is: read from DESCEND_* variables."""

from pathlib import Path

import pytest

from descend.errors import InvalidInput
from storage.settings import StorageSettings


def test_without_a_url_the_database_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    settings = StorageSettings(data=tmp_path / "data")

    assert settings.url == f"sqlite:///{tmp_path / 'data' / 'descend.db'}"
    assert settings.artefacts == tmp_path / "data" / "artefacts"


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p@ss/w:rd\n")

    settings = StorageSettings(
        database_url="postgresql://descend@db:5432/descend", database_password_file=secret
    )

    assert settings.url == "postgresql+psycopg://descend:p%40ss%2Fw%3Ard@db:5432/descend"


def test_a_url_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidInput) as refusal:
        _ = StorageSettings(database_url="secret").url

    assert "secret" not in str(refusal.value)


def test_variables_are_read_with_their_prefix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DESCEND_DATA", str(tmp_path))

    assert StorageSettings().data == tmp_path
