"""Curves drawn with characters: a sparkline of one line, and a chart of a job's losses."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from descend.history import History

__all__ = ["chart", "number", "sparkline"]

BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
# The dots of a braille character, by column and row.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE = 0x2800
COLOURS = {"train_loss": "cyan", "eval_loss": "magenta"}
PLAIN = {"train_loss": "*", "eval_loss": "o"}

Floats = NDArray[np.float64]


def number(value: float | None) -> str:
    """Write a number in five digits; a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.5g}"


def sparkline(values: Sequence[float] | Floats, width: int, *, unicode: bool = True) -> str:
    """Draw values as blocks, one character for each of `width` of them, high losses high.

    The scale is logarithmic where all values are positive and they span more than a decade.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) > width:  # chosen, never averaged: each block is a value that was there
        found = found[np.linspace(0, len(found) - 1, width).round().astype(int)]
    blocks = BLOCKS if unicode else PLAIN_BLOCKS
    finite = np.isfinite(found)
    if not finite.any():
        return ""
    heights = _scaled(found, log=_wants_log(found[finite]))
    low, high = heights[finite].min(), heights[finite].max()
    steps = np.zeros(len(found)) if high == low else (heights - low) / (high - low)
    return "".join(
        blocks[min(int(step * len(blocks)), len(blocks) - 1)] if good else " "
        for step, good in zip(np.nan_to_num(steps), finite, strict=True)
    )


def chart(history: History, *, width: int, height: int, unicode: bool = True) -> list[Text]:
    """Draw the losses by epoch as lines of text with their axes, `width` characters wide."""
    series = {
        name: getattr(history, name)
        for name in ("eval_loss", "train_loss")  # train_loss last: it lies on top
        if np.isfinite(getattr(history, name)).any()
    }
    if not series:
        return [Text("no finite loss was recorded")]
    every = np.concatenate([column[np.isfinite(column)] for column in series.values()])
    log = _wants_log(every)
    low, high = every.min(), every.max()
    margin = max(len(number(float(low))), len(number(float(high)))) + 1
    canvas = _Canvas(max(width - margin - 1, 10), height, unicode=unicode)
    bottom, top = _scaled(np.array([low, high]), log=log)
    for name, column in series.items():
        canvas.draw(name, _places(history.epoch), _fractions(_scaled(column, log=log), bottom, top))
    return [
        _legend(series, log=log),
        *_framed(canvas, float(low), float(high), margin),
        _epochs(history, width, margin),
    ]


class _Canvas:
    """A grid of characters, each of 2 x 4 dots, and whose line lies in each."""

    def __init__(self, width: int, height: int, *, unicode: bool) -> None:
        self.width, self.height, self.unicode = width, height, unicode
        self.bits = np.zeros((height, width), dtype=int)
        self.owner: dict[tuple[int, int], str] = {}

    def draw(self, name: str, x: Floats, y: Floats) -> None:
        """Draw a line through points in the unit square; it breaks where y is not a number."""
        points = [
            (round(a * (2 * self.width - 1)), round((1 - b) * (4 * self.height - 1)))
            for a, b in zip(x, y, strict=True)
            if not math.isnan(b)
        ]
        for place in points[:1]:
            self._dot(name, *place)
        for start, end in pairwise(points):
            self._line(name, start, end)

    def lines(self) -> list[Text]:
        return [self._row(row) for row in range(self.height)]

    def _line(self, name: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            x = start[0] + (end[0] - start[0]) * step / steps
            y = start[1] + (end[1] - start[1]) * step / steps
            self._dot(name, round(x), round(y))

    def _dot(self, name: str, x: int, y: int) -> None:
        row, column = y // 4, x // 2
        self.bits[row, column] |= DOTS[x % 2][y % 4]
        self.owner[row, column] = name

    def _row(self, row: int) -> Text:
        line = Text()
        for column, bits in enumerate(self.bits[row]):
            name = self.owner.get((row, column), "")
            glyph = chr(BRAILLE + int(bits)) if self.unicode else PLAIN.get(name, " ")
            line.append(glyph if bits else " ", style=COLOURS.get(name, ""))
        return line


def _wants_log(values: Floats) -> bool:
    return bool((values > 0).all() and values.max() > 10 * values.min())


def _scaled(values: Floats, *, log: bool) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled: Floats = np.log10(values) if log else np.asarray(values, dtype=np.float64)
    return scaled


def _places(epochs: NDArray[np.int64]) -> Floats:
    places: Floats = (epochs - epochs[0]) / max(epochs[-1] - epochs[0], 1)
    return places


def _fractions(values: Floats, bottom: float, top: float) -> Floats:
    if top == bottom:
        return np.where(np.isfinite(values), 0.5, np.nan)
    fractions: Floats = np.where(np.isfinite(values), (values - bottom) / (top - bottom), np.nan)
    return fractions


def _legend(series: dict[str, Floats], *, log: bool) -> Text:
    line = Text()
    for name in sorted(series, reverse=True):
        line.append(name, style=COLOURS[name]).append("  ")
    return line.append("log scale" if log else "linear scale", style="dim")


def _framed(canvas: _Canvas, low: float, high: float, margin: int) -> list[Text]:
    labels = {0: number(high), canvas.height - 1: number(low)}
    wall = "┤" if canvas.unicode else "|"
    return [
        Text(f"{labels.get(row, ''):>{margin}}{wall}", style="dim").append_text(line)
        for row, line in enumerate(canvas.lines())
    ]


def _epochs(history: History, width: int, margin: int) -> Text:
    first, last = f"epoch {history.epoch[0]}", f"{history.epoch[-1]}"
    room = max(width - margin - 1 - len(first), 1)
    return Text(f"{' ' * (margin + 1)}{first}{last:>{room}}", style="dim")
