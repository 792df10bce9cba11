"""How the numbers of a column of text are written: what stands beside them, what groups them.

Every form that is named here was tried: the reader that will be asked for it has read the cells.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from storage.cells import stripped
from storage.number_forms import ACCOUNTING, GROUPING, TRAILING_MINUS, NumberForm, as_number

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Written", "written_numbers"]

_CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|RMB|SEK|NOK|DKK|PLN|CZK|HUF|RON|INR|BRL|MXN|CAD|AUD|NZD|ZAR|TRY|RUB"
    "|UAH|KRW|SGD|HKD|THB|IDR|MYR|PHP|VND|AED|SAR|ILS"
)
_CURRENCY = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|{_CODES}|Rs\.?|[Kk]r\.?|Fr\.?|zł|Kč|Ft)"
_UNIT = '(?:[\\p{L}°%‰"\u2032\u2033][\\p{L}\\p{Sc}°%²³⁰¹/·*^. -]{0,14}[23]?)'
_CORE = (
    "(?:[0-9]{1,3}(?:[,'\u2019\\s][0-9]{2,3})+(?:[.,][0-9]*)?|[0-9]{1,3}(?:[.][0-9]{3})+(?:,[0-9]*)?"
    "|[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?"
)
_SIGN = "[+\\-\u2212]?"
_ALIKE = (
    rf"^{_SIGN}\s*(?P<before>{_CURRENCY})?\s*(?P<open>\(?)\s*{_SIGN}\s*(?P<inner>{_CURRENCY})?"
    rf"\s*{_CORE}\s*(?P<after>{_CURRENCY}|{_UNIT})?\s*(?P<trailing>[-\u2212]?)"
    rf"\s*(?:{_CURRENCY})?\)?$"
)
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
# Units that may be named though one cell alone has them: they tell nothing of anybody.
_KNOWN = frozenset(
    [
        *("%", "‰", "°", "°C", "°F", "K", "kg", "g", "mg", "t", "lb", "lbs", "oz", "m", "cm", "mm"),
        *(
            "km",
            "mi",
            "ft",
            "in",
            "m2",
            "m²",
            "m3",
            "m³",
            "s",
            "ms",
            "min",
            "h",
            "hr",
            "hrs",
            "km/h",
        ),
        *("mph", "m/s", "N", "kN", "MN", "Nm", "V", "mV", "kV", "A", "mA", "W", "kW", "MW", "kWh"),
        *("Hz", "kHz", "MHz", "GHz", "Pa", "kPa", "MPa", "bar", "l", "L", "ml", "cc", "hp", "bhp"),
        *("years", "months", "days", "$", "€", "£", "¥", "₹"),
    ]
)
_MOST_TEXTS = 3


@dataclass(frozen=True)
class Written:
    """How a column's numbers are written.

    Attributes:
        n_alike: cells that look like numbers with the same few texts beside them.
        n_cells: cells that `form` reads.
        form: the likeliest form.
        others: forms that read as many cells, in another sense.
        given: the form that was asked for.
        how: the form, in words.
    """

    n_alike: int
    n_cells: int
    form: NumberForm
    others: tuple[NumberForm, ...]
    given: NumberForm
    how: str

    def options(self, name: str, *, alone: bool) -> list[dict[str, list[str]]]:
        """The options to send, one way to read the column after the other.

        `alone`: a decimal sign is said of this column, and of no other: one may need another.
        """
        forms = [one for one in (self.form, *self.others) if one != self.given]
        return [_options(name, one, self.given, alone=alone) for one in forms]


def written_numbers(scan: "pl.LazyFrame", name: str, given: NumberForm, *, present: int) -> Written:
    """Find out how a column's numbers are written, by trying."""
    beside = _beside(scan, name)
    texts = beside.texts(present)
    n_alike = beside.n_with(texts)
    if len(texts.before) > 1 or len(texts.after) > 1:  # kg and g, $ and €: never one scale
        units = " and ".join(map(repr, sorted({*texts.before, *texts.after})))
        how = f"with {units}, which are not one unit"
        return Written(n_alike, 0, given, (), given, how)
    strip = (*given.strip, *(one for one in texts.strip if one not in given.strip))
    counts = _tried(scan, name, replace(given, strip=strip))
    most = max(counts.values(), default=0)
    best = [form for form, count in counts.items() if count == most]
    best.sort(key=lambda form: _changes(form, given))
    form = best[0] if best else given
    return Written(n_alike, most, form, tuple(best[1:]), given, _in_words(form, given))


def _changes(form: NumberForm, given: NumberForm) -> tuple[int, bool]:
    """Where two forms read the same cells, what is more like the given one is likelier."""
    changed = (form.decimal != given.decimal) + (form.thousands != given.thousands)
    return changed, form.thousands is None


def _options(
    name: str, form: NumberForm, given: NumberForm, *, alone: bool
) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    if form.thousands != given.thousands:
        options["thousands"] = [f"{name}:{form.thousands}"]
    flipped = form.thousands in {",", "."}  # the other sign is then the decimal one
    if form.decimal != given.decimal and not flipped:
        options["decimal"] = [f"{name}:{form.decimal}" if alone else form.decimal]
    if strip := [text for text in form.strip if text not in given.strip]:
        options["strip"] = [f"{name}:{text}" for text in strip]
    return options


def _in_words(form: NumberForm, given: NumberForm) -> str:
    words = []
    beside = [text for text in form.strip if text not in {*given.strip, ACCOUNTING, TRAILING_MINUS}]
    if beside:
        words.append(f"with {' and '.join(map(repr, beside))}")
    if ACCOUNTING in form.strip and ACCOUNTING not in given.strip:
        words.append("in parentheses where they are negative")
    if TRAILING_MINUS in form.strip and TRAILING_MINUS not in given.strip:
        words.append("with the minus behind them")
    if form.thousands != given.thousands:
        between = "spaces" if form.thousands == " " else repr(form.thousands)
        words.append(f"in groups of three with {between}")
    if form.decimal != given.decimal:
        words.append("with a comma" if form.decimal == "," else "with a decimal point")
    return " and ".join(words) or "in a form that no option reads"


@dataclass(frozen=True)
class _Texts:
    """What stands before and after the numbers; the signs that `strip` knows."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    signs: tuple[str, ...]

    @property
    def strip(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.before, *self.after, *self.signs)))


@dataclass(frozen=True)
class _Beside:
    """How many cells have which texts before and after a number, parentheses, a minus behind."""

    counts: Counter[tuple[str, str, str]]

    def texts(self, present: int) -> _Texts:
        """The fewest texts that nearly all cells have, up to three on a side."""
        signs = [
            sign
            for sign in (ACCOUNTING, TRAILING_MINUS)
            if any(sign in key[2] for key in self.counts)
        ]
        before, after = self._common(0, present), self._common(1, present)
        found = _Texts((), (), tuple(signs))
        for n in range(1, _MOST_TEXTS + 1):
            found = _Texts(before[:n], after[:n], tuple(signs))
            left = present - self.n_with(found)
            if 10 * left <= present or (left == 1 and present >= 3):
                break
        return found

    def n_with(self, texts: _Texts) -> int:
        """Cells that have none but these texts."""
        return sum(
            count
            for (before, after, _), count in self.counts.items()
            if before in {"", *texts.before} and after in {"", *texts.after}
        )

    def _common(self, place: int, present: int) -> tuple[str, ...]:
        found: Counter[str] = Counter()
        for key, count in self.counts.items():
            found[key[place]] += count
        del found[""]
        named = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        return tuple(
            text for text, count in named if place == 0 or _may_be_named(text, count, present)
        )


def _may_be_named(text: str, count: int, present: int) -> bool:
    """A text that few cells have is data; a unit is not, nor what many share."""
    return text in _KNOWN or (count > 1 and 10 * count >= present)


def _beside(scan: "pl.LazyFrame", name: str) -> _Beside:
    import polars as pl

    groups = stripped(name).str.extract_groups(_ALIKE)
    found = (
        scan.select(groups.alias("found"))
        .unnest("found")
        .filter(pl.col("open").is_not_null())
        .group_by("before", "inner", "after", "open", "trailing")
        .len()
        .collect(engine="streaming")
    )
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in found.fill_null("").iter_rows(named=True):
        after = row["after"].rstrip(" -.") or row["after"]
        if after not in _ORDINALS:
            signs = (ACCOUNTING if row["open"] else "") + (
                TRAILING_MINUS if row["trailing"] else ""
            )
            counts[row["before"] or row["inner"], after, signs] += row["len"]
    return _Beside(counts)


def _candidates(given: NumberForm) -> Iterator[NumberForm]:
    decimals = dict.fromkeys((given.decimal, ","))
    between = (given.thousands,) if given.thousands else (None, *GROUPING)
    made = []
    for thousands, decimal in itertools.product(between, decimals):
        other = "." if decimal == "," else ","
        made.append(
            replace(given, thousands=thousands, decimal=other if thousands == decimal else decimal)
        )
    yield from dict.fromkeys(made)


def _tried(scan: "pl.LazyFrame", name: str, given: NumberForm) -> dict[NumberForm, int]:
    """Count the cells that each form reads, of those whose signs are there at all."""
    cell = stripped(name)
    signs = {
        sign: cell.str.contains(f"[0-9]{pattern}[0-9]").any() for sign, pattern in GROUPING.items()
    }
    there = scan.select(expr.alias(sign) for sign, expr in signs.items()).collect(
        engine="streaming"
    )
    has = there.row(0, named=True)
    kept = [
        form
        for form in _candidates(given)
        if (form.thousands in {None, given.thousands} or has[form.thousands])
        and (form.decimal == given.decimal or has[","] or form.thousands in {",", "."})
    ]
    counts = scan.select(
        as_number(cell, form).count().alias(str(i)) for i, form in enumerate(kept)
    ).collect(engine="streaming")
    return {form: counts[str(i)].item() for i, form in enumerate(kept)}
