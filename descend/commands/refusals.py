"""A refusal in the command line's words: fields of the wire become the options that set them.

The service speaks of fields, for it does not know who asks. What it advises is translated here, in
one place, by the names of the fields; what stands in quotes is a column's name and stays.
"""

import ast
import re
import shlex
from collections.abc import Set as AbstractSet

from descend.commands.options import OPTIONS, dashed, quoted

__all__ = ["in_options", "refusal"]

# Of the upload, and of a model's file; the others are a JobSpec's.
_READING = (
    "delimiter",
    "decimal",
    "encoding",
    "null_values",
    "text",
    "comment",
    "skip_rows",
    "header",
    "thousands",
    "strip",
    "dates",
)
_WRITING = ("unseen",)
_FIELDS = frozenset({*OPTIONS, *_READING, *_WRITING})
# Of a question about a model; a column may have such a name, so they count where they were typed.
_ASKING = frozenset({"level", "interval", "covariance"})
# Words that are fields and nothing else: no sentence has them by chance, as it may have delimiter.
_SURE = [name for name in _FIELDS if "_" in name]
_OF_ALL = "|".join(sorted(_FIELDS, key=len, reverse=True))
_WORDS = re.compile(
    r"(?P<quoted>'(?:[^'\\]|\\.)*')"
    rf'|\b(?:S|s)et (?P<set>{_OF_ALL}) to "?(?P<value>[\w.+-]*\w)"?'
    r'|(?P<or>,? or) to "?(?P<other>[\w.+-]*\w)"?'
    rf"|\b(?P<given>{_OF_ALL})=(?P<as>[^\s;]*)"
    rf"|\bsee (?P<seen>(?:{_OF_ALL})(?: and (?:{_OF_ALL}))*)\b"
    rf"|\b(?:hyperparameters\.)?(?P<name>{'|'.join(_SURE)})\b(?!=)"
)

_OF_COLUMN = re.compile(r"""column ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def refusal(message: str, param: str | None, given: AbstractSet[str]) -> str:
    """Say what is wrong; first with which option, where it was typed or is what is lacking.

    Args:
        message: the service's, or the contract's.
        param: the field or column at fault.
        given: names of the options that were typed.
    """
    field = _field(param, given)
    told = message.removeprefix(f"{param}: ")
    if field is not None and told.startswith(f"{field} "):
        return dashed(field) + in_options(told.removeprefix(field), param)
    prefix = _prefix(told, param, field, given)
    return prefix + in_options(told, param)


def in_options(message: str, param: str | None = None) -> str:
    """Write the options for the fields that a text names.

    Example:
        >>> in_options('set missing to "drop", or lower max_epochs')
        'give --missing drop, or lower --max-epochs'
    """
    column = param or _column(message)
    if column is not None:  # its name may have blanks and commas
        line = quoted(column)
        message = message.replace(f"text={line}", f"{dashed('text')} {shlex.quote(line)}")
    last = ""  # the field to which "or to …" belongs

    def option(found: re.Match[str]) -> str:
        nonlocal last
        last = found["set"] or last
        if found["or"] and last:
            return f"{found['or']} {_setting(last, found['other'])}"
        return _option(found)

    return _WORDS.sub(option, message)


def _column(message: str) -> str | None:
    """Read the name of the column that a sentence is about."""
    found = _OF_COLUMN.match(message)
    return str(ast.literal_eval(found[1])) if found else None


def _option(found: re.Match[str]) -> str:
    if found["quoted"] or found["or"]:
        return found.group()
    if found["set"]:
        start = "Give" if found.group().startswith("S") else "give"
        return f"{start} {_setting(found['set'], found['value'])}"
    if found["given"]:
        return f"{dashed(found['given'])} {found['as']}"
    if found["seen"]:
        return f"see {' and '.join(map(dashed, found['seen'].split(' and ')))}"
    return dashed(found["name"])


def _setting(name: str, value: str) -> str:
    if value in {"true", "false"}:
        return dashed(name) if value == "true" else f"--no-{name.replace('_', '-')}"
    return f"{dashed(name)} {value}"


def _field(param: str | None, given: AbstractSet[str]) -> str | None:
    name = (param or "").removeprefix("hyperparameters.").split(".")[0].split("[")[0]
    if name == "level" and "interval" in given:  # of a file, whose interval is in the query
        name = "interval"
    return name if name in _FIELDS | (_ASKING & given) else None


def _prefix(told: str, param: str | None, field: str | None, given: AbstractSet[str]) -> str:
    """Name the option at fault; not one that nobody typed, where the message names a column."""
    if field is None or f"column {param!r}" in told:
        return ""
    if field not in given and re.match(r"columns? '", told):
        return ""
    return f"{dashed(field)}: "
