"""What every command is given: a connection, two outputs, and how errors become exit codes.

Results go to standard output, everything else (progress, notes, errors) to standard error; with
`--json` standard output is one JSON document and nothing else.
"""

import functools
import inspect
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

from descend.commands import servers
from descend.commands.refusals import refusal
from descend.commands.remedies import about_columns, remedies
from descend.errors import (
    Conflict,
    DescendError,
    InvalidInput,
    JobFailed,
    NotFound,
    Unauthorized,
    Unreachable,
    WrongHost,
)
from descend.field_errors import FieldError

if TYPE_CHECKING:
    from descend.client import Client

__all__ = ["Session", "complain", "registered"]

_WIDE, _PIPED_WIDTH = 110, 200
JOB_FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
_USAGE_ERROR: Any = typer.BadParameter.__base__  # which Typer keeps to itself
_EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (JobFailed, JOB_FAILED),
    (InvalidInput, USAGE),
    (NotFound, USAGE),
    (Conflict, USAGE),
    (Unauthorized, USAGE),
    (WrongHost, USAGE),
    (DescendError, UNREACHABLE),
    (TimeoutError, UNREACHABLE),
    (OSError, USAGE),
)

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="DESCEND_URL",
        help="The server. Without it: one run by `descend up` in the data folder, or"
        f" {servers.DEFAULT_URL}.",
        rich_help_panel="Server and output",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="DESCEND_API_KEY_FILE",
        help="File with the API key; or put the key itself into DESCEND_API_KEY.",
        rich_help_panel="Server and output",
    ),
]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="DESCEND_DATA",
        help="Data folder of a server on this machine.",
        rich_help_panel="Server and output",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON document and nothing else.", rich_help_panel="Server and output"
    ),
]


def _keyword(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


_SHARED = (
    _keyword("url", Url, None),
    _keyword("key_file", KeyFile, None),
    _keyword("data", Data, Path(".descend")),
    _keyword("as_json", AsJson, default=False),
)


@dataclass
class Session:
    """One run of one command."""

    environment: Mapping[str, str]
    url: str | None
    key_file: Path | None
    data: Path
    as_json: bool
    given: frozenset[str] = frozenset()  # options that were typed
    out: Console = field(init=False)
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    held: ExitStack = field(default_factory=ExitStack)
    runs_server: bool = False  # one of its own, for the length of the command

    def __post_init__(self) -> None:
        self.out = Console(highlight=False)
        if not self.out.is_terminal and "COLUMNS" not in self.environment:
            self.out.width = _PIPED_WIDTH  # who reads it next does not mind long lines

    @property
    def wide(self) -> bool:
        """Whether lists have room for more than what matters most."""
        return self.out.width >= _WIDE

    @functools.cached_property
    def client(self) -> "Client":
        """A connection to the server that is there; what is missing is told at the first use."""
        return self.connect(self.held.enter_context(servers.found(self.url, self.data)))

    def connect(self, url: str, *, retries: int = 3, timeout_seconds: float = 30.0) -> "Client":
        from httpx2 import InvalidURL

        from descend.client import Client

        key = self._key()
        try:
            client = Client(url, api_key=key, retries=retries, timeout_seconds=timeout_seconds)
        except InvalidURL as error:
            raise InvalidInput(f"{url!r} is no address of a server: {error}") from None
        return self.held.enter_context(client)

    def use_or_start(self) -> None:
        """Use the server that is there; where there is none, run one for this command's length."""
        if self.url is not None:
            return
        url = self.held.enter_context(servers.used_or_started(self))
        self.__dict__["client"] = self.connect(url)

    def show_json(self, value: BaseModel | Mapping[str, object] | Sequence[object]) -> None:
        if isinstance(value, BaseModel):
            typer.echo(value.model_dump_json(indent=2))
        else:
            typer.echo(json.dumps(value, indent=2, default=_plain))

    def note(self, words: str, style: str = "dim") -> None:
        """Say something about the way to the result; silent with --json."""
        if not self.as_json:
            self.err.print(Text(words, style=style), soft_wrap=True)

    def _key(self) -> str | None:
        if self.key_file is None:
            return self.environment.get("DESCEND_API_KEY") or None
        try:
            return self.key_file.read_text().strip()
        except OSError as error:
            raise InvalidInput(
                f"the key file {self.key_file} cannot be read: {error.strerror}"
            ) from None


def registered(
    app: typer.Typer, *, more: Sequence[inspect.Parameter] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command: it is given a Session, and `more` options as keywords."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(context: typer.Context, **given: Any) -> None:
            shared = {one.name: given.pop(one.name) for one in _SHARED}
            typed = frozenset(name for name, value in given.items() if value not in (None, []))
            session = Session(environment=context.obj or {}, given=typed, **shared)
            with _translated(session), session.held:
                function(session, **given)

        own = [
            one
            for one in list(inspect.signature(function).parameters.values())[1:]
            if one.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        first = inspect.Parameter(
            "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        run.__annotations__ = {}
        keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        run.__signature__ = inspect.Signature([first, *keyword, *more, *_SHARED])  # type: ignore[attr-defined]
        app.command(function.__name__.rstrip("_"), cls=_Command)(run)
        return function

    return register


class _Command(TyperCommand):
    """A command whose usage errors are JSON, too, where JSON was asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        as_json = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except _USAGE_ERROR as error:
            if not as_json:
                raise
            option = getattr(getattr(error, "param", None), "name", None)
            _tell_json("usage", str(error.format_message()), option)
            raise typer.Exit(USAGE) from None


def complain(message: str, exit_code: int, *, hint: str = "") -> NoReturn:
    err = Console(stderr=True, highlight=False)
    err.print(Text.assemble(("descend: ", "bold red"), message), soft_wrap=True)
    if hint:
        err.print(Text(hint, style="dim"), soft_wrap=True)
    raise typer.Exit(exit_code)


@contextmanager
def _translated(session: Session) -> Iterator[None]:
    """Turn what can be expected to go wrong into words, a hint and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (BrokenPipeError, io.UnsupportedOperation):
        raise
    except tuple(kind for kind, _ in _EXIT_CODES) as error:
        _tell(session, error)


def _tell(session: Session, error: Exception) -> NoReturn:
    exit_code = next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
    param = getattr(error, "param", None)
    message = _message(error)
    errors = getattr(error, "errors", ())
    if session.as_json:
        code = getattr(error, "code", "usage" if exit_code == USAGE else "unreachable")
        _tell_json(code, message, param, errors)
        raise typer.Exit(exit_code)
    words = about_columns(errors) or refusal(message, param, session.given)
    hints = [*_notes(error), *remedies(errors), _hint(session, error)]
    complain(words, exit_code, hint="\n".join(hints).strip("\n"))


def _tell_json(
    code: str, message: str, param: str | None, errors: Sequence[FieldError] = ()
) -> None:
    told: dict[str, object] = {"code": code, "message": message, "param": param}
    if errors:
        told["errors"] = [one.model_dump(exclude_defaults=True) for one in errors]
    typer.echo(json.dumps({"error": told}), err=True)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _notes(error: Exception) -> list[str]:
    """What was added on the way: the rows of the caller's own file, the number of a request."""
    return list(getattr(error, "__notes__", []))


def _hint(session: Session, error: Exception) -> str:
    if isinstance(error, Unreachable):
        return servers.how_to_start(session.url, session.data)
    if isinstance(error, Unauthorized):
        return "Put the key into DESCEND_API_KEY, or name its file: --key-file FILE."
    if isinstance(error, NotFound):
        return "What there is: descend jobs, descend models, descend datasets."
    return ""


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON")
