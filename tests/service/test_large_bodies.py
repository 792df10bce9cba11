"""Large JSON bodies: the numbers are the same, a wrong one is named, and memory is bounded."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import TypeAdapter

from descend.errors import DescendError, MalformedBody, Unavailable
from descend.models import LinearModel
from service.bodies import parse, read_piece
from service.errors import InvalidFields
from service.long_arrays import records
from service.pieces import LONG_BYTES, LongArray, cut_out
from service.routes.datasets import INLINE_DATA
from service.routes.predictions import PREDICT
from service.settings import ServiceSettings
from service.shares import Shares
from service.submission import JOB_SPEC
from storage.database import Database
from storage.ingest import JsonTable
from tests.service.conftest import serving, store_model

N = 30_000  # rows of a body that has several pieces
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).tolist()
Y = RNG.normal(size=N).tolist()
WEIGHTS = RNG.uniform(size=N).tolist()


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def spoilt(values: list[Any], place: int, value: Any) -> list[Any]:
    return [*values[:place], value, *values[place + 1 :]]


def rows_of(raw: bytes) -> list[dict[str, Any]]:
    rows: Any = parse(raw, PREDICT)
    assert isinstance(rows.rows, LongArray)
    return [record for _, found in records(rows.rows, read_piece) for record in found]


def test_x_y_and_weights_are_the_same_numbers_bit_for_bit() -> None:
    data: Any = parse(body(X=X, y=Y, sample_weight=WEIGHTS), INLINE_DATA)
    spec: Any = parse(body(dataset={"X": X, "y": [[v, v] for v in Y]}), JOB_SPEC, within="dataset")

    assert isinstance(data.X, np.ndarray)
    for found, given_ in ((data.X, X), (data.y, Y), (data.sample_weight, WEIGHTS)):
        assert np.array_equal(found, np.array(given_))
    assert np.array_equal(spec.dataset.y, np.column_stack([Y, Y]))
    assert JsonTable.of(data).ingested(name=None).dataset.n_rows == N


def test_records_are_the_same_whatever_their_texts_hold() -> None:
    wanted = [
        {"a": v, 'b"]': f'{i} "quoted\\" [not] {{an}} é\n', "c": None} for i, v in enumerate(Y)
    ]

    assert rows_of(body(unseen="base", rows=wanted)) == wanted


texts = st.text(st.sampled_from('"\\[]{},:aé \n'), max_size=6)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@examples(max_examples=150, deadline=None)
@given(
    document=st.dictionaries(st.sampled_from(["X", "y", "rows", "other", "dataset"]), values),
    within=st.sampled_from(["", "dataset"]),
    block_bytes=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
)
def test_an_array_in_pieces_is_the_array(
    document: dict[str, Any], within: str, block_bytes: int, indent: int | None
) -> None:
    raw = json.dumps(document, indent=indent).encode()
    cut = cut_out(raw, within=within, long_bytes=8, piece_bytes=6, block_bytes=block_bytes)
    if cut is None:
        return
    rest = json.loads(cut.rest)
    holder = rest[within] if within else rest
    for name, array in cut.arrays.items():
        pieces = [json.loads(piece) for piece in array.pieces()]
        assert holder[name] == pieces[0][:1]
        holder[name] = [one for piece in pieces for one in piece]

    assert rest == document


NAN = float("nan")


@pytest.mark.parametrize(
    ("members", "within", "param", "says"),
    [
        (lambda: {"X": spoilt(X, 20_000, [1, "2", 3])}, "", "X.20000.1", "valid number"),
        (lambda: {"X": spoilt(X, 20_000, [1, True, 3])}, "", "X.20000.1", "valid number"),
        (lambda: {"X": spoilt(X, 20_000, [1, None, 3])}, "", "X.20000.1", "valid number"),
        (lambda: {"X": spoilt(X, 20_000, [1, NAN, 3])}, "", "X.20000.1", "finite"),
        (lambda: {"X": [*X, [1, float("inf"), 3]]}, "", "X.30000.1", "finite"),
        (lambda: {"X": spoilt(X, 20_000, [1, 2])}, "", "X", "X[20000] has 2 numbers, X[0] has 3"),
        (lambda: {"X": spoilt(X, 20_000, 7)}, "", "X.20000", "valid array"),
        (
            lambda: {"dataset": {"X": X, "y": spoilt(Y, 29_000, "a, b")}},
            "dataset",
            "dataset.y.29000",
            "valid number",
        ),
        (
            lambda: {"dataset": {"X": X, "y": Y, "sample_weight": spoilt(WEIGHTS, 29_000, -1)}},
            "dataset",
            "dataset.sample_weight.29000",
            "greater than or equal to 0",
        ),
        (
            lambda: {"dataset": {"X": X, "y": Y[1:]}},
            "dataset",
            "dataset.y",
            "y has 29999 rows, X has 30000",
        ),
        (
            lambda: {"dataset": {"X": X, "y": [1, 2]}},
            "dataset",
            "dataset.y",
            "y has 2 rows, X has 30000",
        ),
        (lambda: {"X": X, "more": 1}, "", "more", "Extra inputs"),
    ],
)
def test_what_is_wrong_in_a_large_body_is_named(
    members: Callable[[], dict[str, Any]], within: str, param: str, says: str
) -> None:
    raw = body(**members()).replace(b"Infinity", b"1e999")
    adapter: TypeAdapter[Any] = JOB_SPEC if within else PREDICT

    with pytest.raises(InvalidFields) as refused:
        parse(raw, adapter, within=within)

    assert refused.value.param == param
    assert says in refused.value.message


@pytest.mark.parametrize("wrong", ["text", ["list"]])
def test_a_wrong_record_is_named(wrong: Any) -> None:
    good = [{"a": v} for v in Y]

    with pytest.raises(InvalidFields) as refused:
        rows_of(body(rows=spoilt(good, 28_000, wrong if wrong == "text" else {"a": wrong})))

    assert refused.value.param == ("rows.28000" if wrong == "text" else "rows.28000.a")


@pytest.mark.parametrize(
    "made",
    [
        lambda: body(X=X).replace(b"]]}", b"],]}"),
        lambda: body(X=X).replace(b"]]}", b"] [1, 2, 3]]}"),
        lambda: body(X=X).replace(b"]]}", b"], [1, 2, 3,]]}"),
        lambda: body(X=X).replace(b"]]}", b"], [1, 02, 3]]}"),
        lambda: body(X=X).replace(b"]]}", b"]}}"),
        lambda: body(X=[[0.123456] * 10_000] * 5).replace(b"]]}", b"],]}"),
        lambda: body(X=X)[:-1],
        lambda: body(X=X)[:-1] + b', "X": [[1, 2, 3]]}',
        lambda: body(X=X) + b"}",
        lambda: b'{"X": [' + b"[[[[" * LONG_BYTES,
    ],
    ids=[
        "comma",
        "no comma",
        "comma in row",
        "zero",
        "brace",
        "last comma",
        "torn",
        "twice",
        "more",
        "deep",
    ],
)
def test_what_is_no_json_stays_none(made: Callable[[], bytes]) -> None:
    with pytest.raises(MalformedBody):
        parse(made(), PREDICT)


def test_a_name_twice_is_found_in_the_last_record() -> None:
    raw = body(rows=[{"a": v} for v in Y]).replace(b"]}", b', {"a": 1, "a": 2}]}')

    with pytest.raises(MalformedBody, match="names 'a' twice"):
        rows_of(raw)


DENSE = b'{"X":[' + b",".join([b"[0],[1],[2],[3],[4],[5],[6],[7],[8],[9]"] * 25_000)


@pytest.mark.parametrize(
    "made",
    [
        lambda: body(X=X),
        lambda: body(X=spoilt(X, N - 1, [1, 2, "3"])),
        lambda: DENSE + b"]}",
        lambda: DENSE + b",[true]]}",
    ],
    ids=["numbers", "refused", "dense", "dense refused"],
)
def test_reading_a_body_costs_at_most_ten_times_its_bytes(made: Callable[[], bytes]) -> None:
    raw = made()
    gc.collect()
    tracemalloc.start()
    try:
        parsed: Any = parse(raw, PREDICT)
        del parsed
    except DescendError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 9 * len(raw)  # and the body itself


# Over HTTP


def test_a_large_prediction_is_that_of_its_parts(
    settings: ServiceSettings, database: Database
) -> None:
    with serving(settings, DESCEND_BODY_MEMORY_BYTES=str(2**24)) as client:
        model = LinearModel(
            features=["a", "b", "c"], targets=["y"], coef=[[1.0, 2.0, 3.0]], intercept=[0.5]
        )
        path = f"/v1/models/{store_model(database, model)}/predict"
        few = X[:12_000]
        named = [dict(zip("abc", row, strict=True)) for row in few]

        def predict(content: dict[str, Any]) -> list[list[float]]:
            with httpx2.Client(base_url=client.base_url, timeout=60) as own:
                answer = own.post(path, json=content)
            assert answer.status_code == 200, answer.text
            found: list[list[float]] = answer.json()["y"]
            return found

        with ThreadPoolExecutor(4) as pool:  # more at once than there is memory for
            large = list(pool.map(predict, [{"X": few}, {"rows": named}] * 2))
        parts = [row for i in range(0, 12_000, 4000) for row in predict({"X": few[i : i + 4000]})]
        refused = client.post(path, json={"rows": [*named, {"a": 1, "b": 2, "c": "3"}]})

    assert all(found == large[0] for found in large)
    assert np.allclose(large[0], parts, rtol=1e-14)
    assert refused.json()["param"] == "rows.12000.c"
    assert list((settings.data / "uploads").iterdir()) == []


# The budget


def test_who_comes_first_has_memory_first_and_all_of_it_comes_back() -> None:
    order: list[str] = []

    async def use(shares: Shares, name: str, n_bytes: int) -> None:
        async with shares.one(n_bytes):
            order.append(name)
            assert shares.taken <= 100
            await asyncio.sleep(0)

    async def main() -> int:
        shares = Shares(100)
        wanted = {"a": 60, "b": 60, "c": 10, "larger than all": 1000, "d": 40}
        await asyncio.gather(*(use(shares, name, n) for name, n in wanted.items()))
        return shares.taken

    assert asyncio.run(main()) == 0
    assert order == ["a", "b", "c", "larger than all", "d"]


def test_a_body_that_waits_for_too_long_is_refused_and_keeps_nobody_waiting() -> None:
    async def main() -> None:
        shares = Shares(100, patience_seconds=0.01)
        async with shares.one(60):
            with pytest.raises(Unavailable):
                async with shares.one(60):
                    pass
            async with shares.one(40):
                assert shares.taken == 100
        assert shares.taken == 0

    asyncio.run(main())


def test_who_goes_away_while_waiting_takes_no_memory_along() -> None:
    async def main() -> None:
        shares = Shares(100)

        async def use() -> None:
            async with shares.one(100):
                pass

        async with shares.one(60):
            waiting = asyncio.create_task(use())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async with shares.one(40):
                pass
        assert shares.taken == 0

    asyncio.run(main())
