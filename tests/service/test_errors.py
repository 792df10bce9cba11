import pytest

from descend import errors
from descend.errors import DescendError
from service.errors import status_of

WIRE_LESS = {errors.Unreachable, errors.JobFailed}


def family(root: type[DescendError]) -> set[type[DescendError]]:
    return {root}.union(*(family(child) for child in root.__subclasses__()))


@pytest.mark.parametrize(
    "error",
    sorted((e for e in family(DescendError) if e.__module__ == errors.__name__), key=str),
)
def test_every_error_has_the_status_that_its_tree_names(error: type[DescendError]) -> None:
    line = (
        next(
            line
            for line in (errors.__doc__ or "").splitlines()
            if f"─ {error.__name__} " in f"{line} "
        )
        if error is not DescendError
        else "500"
    )

    if error in WIRE_LESS:
        assert not any(character.isdigit() for character in line)
    else:
        assert str(status_of(error)) in line
