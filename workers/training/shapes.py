"""Float[Tensor, "lanes rows columns"]: how this package states shapes.

The tests check them at run time (jaxtyping and beartype); a machine that only trains needs
neither, and there the annotation is the tensor type alone.

Axes: lanes (models side by side), rows, columns (features, and 1 where there is an intercept),
outputs (targets, padded), epochs.
"""

from typing import TYPE_CHECKING

from torch import Tensor

__all__ = ["Bool", "Float", "Tensor"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
else:
    try:
        from jaxtyping import Bool, Float
    except ImportError:

        class Float:
            def __class_getitem__(cls, item: tuple[type, str]) -> type:
                return item[0]

        Bool = Float
