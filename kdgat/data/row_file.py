"""Rows that are written as they come, and become a `.npy` file once all of them are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

Change = Callable[[Shaped[np.ndarray, "rows ..."]], Shaped[np.ndarray, "rows ..."]]


class RowFile:
    """Rows of one width in a file of their own, without a header, as their number is not known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._dtype: np.dtype = np.dtype(np.float32)
        self._width = 0
        self.rows = 0

    def add(self, rows: Shaped[np.ndarray, "rows width"]) -> None:
        """Put rows behind those that are there."""
        self._dtype, self._width = rows.dtype, rows.shape[1]
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def blocks(self, sizes: Iterable[int]) -> Iterator[Shaped[np.ndarray, "rows width"]]:
        """The rows in their order, as many at a time as `sizes` says."""
        self._file.flush()
        with self._path.open("rb") as file:
            for size in sizes:
                yield np.fromfile(file, self._dtype, size * self._width).reshape(size, self._width)

    def save(
        self,
        path: Path,
        sizes: Iterable[int],
        change: Change | None = None,
        *,
        turned: bool = False,
    ) -> None:
        """Write all rows, changed a block at a time, as the `.npy` file `path`.

        A `turned` file holds the transposed array, of which a row is a column.
        """
        shape = (self._width, self.rows) if turned else (self.rows, self._width)
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            # As numpy.save has it: of one column both orders are the same, and are called C.
            "fortran_order": turned and self.rows > 1,
            "shape": shape,
        }
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in self.blocks(sizes):
                file.write((block if change is None else change(block)).data)

    def close(self) -> None:
        """Close the file and remove it."""
        self._file.close()
        self._path.unlink()
