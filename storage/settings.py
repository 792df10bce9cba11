"""Where rows and bytes live. The service's and the workers' settings inherit this class."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from descend.errors import InvalidInput
from storage.logs import LogFormat, LogLevel

__all__ = ["StorageSettings"]


class StorageSettings(BaseSettings):
    """Read from DESCEND_* variables; the defaults are a SQLite file in a folder beside you."""

    model_config = SettingsConfigDict(env_prefix="DESCEND_", extra="ignore")

    database_url: str = ""
    database_password_file: Path | None = None
    data: Path = Path(".descend")
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="json, console, or auto: for eyes on a terminal, else JSON"
    )
    log_level: LogLevel = Field(
        LogLevel.INFO, description="the least important events written; health checks are debug"
    )

    @property
    def url(self) -> str:
        """The database's URL with its password; the SQLite file in `data` where none is set."""
        if not self.database_url:
            return f"sqlite:///{self.data.resolve() / 'descend.db'}"
        try:
            url = make_url(self.database_url)
        except ArgumentError as error:
            raise InvalidInput("DESCEND_DATABASE_URL is not a URL", param="database_url") from error
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if self.database_password_file is not None:
            url = url.set(password=self.database_password_file.read_text("utf-8").strip())
        return url.render_as_string(hide_password=False)

    @property
    def artefacts(self) -> Path:
        """The folder of the artefact store."""
        return self.data / "artefacts"
