"""The small pictures of the page of all galaxies, made once for a layout: ``data/projection_pictures.parquet``.

Pictures take what is left of 25 MB: of all galaxies where they fit, else of some, spread evenly over the plane.
Legend: N rows of the catalog, P of them with a picture.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.catalog import Catalog
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.table_file import TableFile, slice_groups, write_table
from galaxies.errors import InputError
from galaxies.gallery.thumbnails import choose_side, encode_thumbnails

PLANE = 65_535
"""Places on the page are whole numbers up to here, a twentieth of a pixel on the screen."""

_MAX_CHARS = 15_000_000
_LARGEST_PX, _SMALLEST_PX = 128, 48
_CHARS_OF_SMALLEST = 1_000  # of a picture of 48 px, rather more than it has
_NUM_CELLS = 96  # along a side, to spread the pictures

_SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("picture", pa.string(), nullable=False)])
_ENCODINGS = {"row": "DELTA_BINARY_PACKED", "picture": "DELTA_LENGTH_BYTE_ARRAY"}


def write_pictures(
    path: Path, galaxies: GalaxyFile, catalog: Catalog, places: NDArray[np.float32], *, num_workers: int
) -> None:
    """Write ``projection_pictures.parquet``: row, and its picture as WebP in base64, empty where it has none.

    Args:
        path: of the table.
        galaxies: their images, where the file has any.
        catalog: which of them are the rows.
        places: of the rows, (N, 2).
        num_workers: threads that encode.
    """
    pictures = np.full(len(places), "", object)
    if galaxies.has_images:
        pictured = choose_pictured(scale_places(places), _MAX_CHARS // _CHARS_OF_SMALLEST, generator=np.random.default_rng(0))
        indices = catalog.read(0, len(catalog)).galaxy[pictured]
        side = min(_LARGEST_PX, max(_SMALLEST_PX, choose_side(galaxies, indices, max_chars=_MAX_CHARS)))
        texts = encode_thumbnails(galaxies, indices, np.full(len(indices), side), num_workers=num_workers)
        pictures[pictured] = list(tqdm(texts, "pictures", len(indices), unit="galaxy", delay=2))
    tables = (
        pa.table([np.arange(span.start, span.stop), pa.array(pictures[span], pa.string())], schema=_SCHEMA)
        for span in slice_groups(len(places))
    )
    write_table(path, _SCHEMA, tables, encodings=_ENCODINGS, about={"catalog": catalog.digest})


def read_pictures(path: Path, catalog: Catalog) -> tuple[NDArray[np.uint32], str]:
    """Return how many characters each row's picture has, (N,), 0 for none, and all pictures as one text.

    Raises InputError when they are of another catalog.
    """
    table = TableFile(path, _SCHEMA, stage="project")
    if table.about["catalog"] != catalog.digest:
        raise InputError(f"{path} is of another catalog than {catalog.path}; `dvc repro --force project` makes it again.")
    content = table.read(0, len(table))
    table.require_rows(content, np.arange(len(catalog)))
    chars = pc.binary_length(content["picture"]).to_numpy().astype("<u4")
    return chars, "".join(content["picture"].filter(pa.array(chars > 0)).to_pylist())


def scale_places(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return places in a square of 65,535 steps, (N, 2) little-endian uint16, by one scale for both axes."""
    if not len(places):
        return np.empty((0, 2), "<u2")
    low, high = places.min(axis=0), places.max(axis=0)
    span = max(float((high - low).max()), np.finfo(np.float32).tiny)
    centred = (places - (low + high) / 2) / span + 0.5
    scaled: NDArray[np.uint16] = np.rint(np.clip(centred, 0, 1) * PLANE).astype("<u2")
    return scaled


def choose_pictured(plane: NDArray[np.uint16], number: int, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return ``number`` rows, ascending, spread over the plane: of every cell about as many, while it has any.

    Args:
        plane: places, (N, 2), as :func:`scale_places` gives them.
        number: of rows; all where there are not as many.
        generator: draws which galaxies of a cell.
    """
    cell = (plane.astype(np.int64) * _NUM_CELLS // (PLANE + 1)) @ np.array([_NUM_CELLS, 1])
    order = generator.permutation(len(plane))
    order = order[np.argsort(cell[order], kind="stable")]
    _, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
    turn = np.arange(len(order)) - np.repeat(first, counts)  # 0 for the first of its cell, 1 for the second, ...
    return np.sort(order[np.argsort(turn, kind="stable")[:number]])
