"""The Galaxy10 schema: what stands in ``galaxies.h5``, and everything that keeps an open file from being one.

N galaxies, S image size in pixels, C bands.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galaxies.data.bands import MAX_BANDS, RGB
from galaxies.data.image_listing import IMAGE_GROUPS
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError

GALAXY10_CLASS_NAMES = (
    "Disturbed",
    "Merging",
    "Round Smooth",
    "In-between Round Smooth",
    "Cigar Shaped Smooth",
    "Barred Spiral",
    "Unbarred Tight Spiral",
    "Unbarred Loose Spiral",
    "Edge-on without Bulge",
    "Edge-on with Bulge",
)
"""The ten classes of Galaxy10 DECaLS, in the order of their labels (astroNN's documentation)."""

POSITION_COLUMNS = ("ra", "dec", "redshift", "pxscale")
"""Optional columns, float64: right ascension and declination (deg), redshift, pixel scale (arcsec/px). NaN is unknown."""

UNLABELLED_VALUE = "unlabelled_value"
"""An attribute of a file: the value of ``ans`` that stands for no label."""
EMBEDDINGS = "embeddings"
"""The data set of a file without images, (N, C) float32, and its attribute that says where they come from, as JSON."""

GROUP = "group"
"""An optional column, integer: galaxies of one number are never divided; below 0 is none."""

_BLOCK_IDS = 1 << 16

FRAMED_PXSCALE = "framed_pxscale"
"""An attribute of a file whose images were brought to one size and scale."""

FLUX_SCALES = "flux_scales"
"""An attribute of a file whose images were made of fluxes, each band by itself: the number for each that made it."""

_COMMON = {"ans": "an integer type", **dict.fromkeys(POSITION_COLUMNS, "a number type"), "ids": "text"}
_COLUMNS = {"images": "uint8 or float16", **_COMMON}
_COLUMNS_OF_EMBEDDINGS = {EMBEDDINGS: "float32", **_COMMON, GROUP: "an integer type"}
_COLUMNS_OF_LISTING = {IMAGE_GROUPS: "int64", **_COMMON}


def refuse_complaints(path: Path, complaints: Iterable[str]) -> None:
    """Raise one InputError that lists all complaints, if there are any."""
    listing = "\n".join(f"  {complaint}" for complaint in complaints)
    if listing:
        raise InputError(
            f"{path} is not in the Galaxy10 schema:\n{listing}\nExpected are images (N, S, S, 3) uint8 and, where known, "
            "ans (N,) integer, ra, dec, redshift, pxscale (N,) number, ids (N,) text, and the attribute class_names. Images of "
            "other bands are (N, S, S, C) uint8, or float16 from 0 to 1, with the attribute bands, a name for each."
        )


def schema_complaints(file: h5py.File) -> Iterator[str]:
    """Yield what is wrong with names, shapes and dtypes; nothing large is read."""
    columns = _choose_columns(file)
    entries = {name: file[name] for name in columns if isinstance(file.get(name, getlink=True), h5py.HardLink)}
    for name in columns:
        if name not in entries and file.get(name, getlink=True) is not None:
            yield f"{name}: found a link to another place; the data must stand in this file, or its digest would miss them"
    if next(iter(columns)) not in entries:
        yield f"missing: images; found are {', '.join(map(str, file)) or 'no entries'}"
    value = file.attrs.get(UNLABELLED_VALUE)
    if value is not None and (np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "iu"):
        yield f"{UNLABELLED_VALUE}: found {value!r}, expected one whole number"
    for name, entry in entries.items():
        if not isinstance(entry, h5py.Dataset):
            yield f"{name}: found a group, expected a data set"
        elif entry.is_virtual or entry.external:
            yield f"{name}: the data stand in another file; they must stand in this one, or its digest would miss them"
        elif not _is_dtype_of(name, entry.dtype):
            yield f"{name}: found {entry.dtype}, expected {columns[name]}"
    images, embeddings = entries.get("images"), entries.get(EMBEDDINGS)
    if isinstance(embeddings, h5py.Dataset):
        yield from _embedding_complaints(embeddings, entries)
    if isinstance(entries.get(IMAGE_GROUPS), h5py.Dataset):
        yield from _length_complaints(entries, IMAGE_GROUPS, _num_galaxies(file))
    if isinstance(images, h5py.Dataset):
        yield from _image_complaints(images, entries, has_class_names="class_names" in file.attrs)
        yield from _band_complaints(images, read_bands(file))
        yield from _scale_complaints(images, read_flux_scales(file))


def _choose_columns(file: h5py.File) -> Mapping[str, str]:
    """Return the columns of a file with images, with a listing of where they are, or with embeddings."""
    if "images" in file:
        return _COLUMNS
    if IMAGE_GROUPS in file:
        return _COLUMNS_OF_LISTING
    return _COLUMNS_OF_EMBEDDINGS if EMBEDDINGS in file else _COLUMNS


def _embedding_complaints(embeddings: h5py.Dataset, entries: Mapping[str, Any]) -> Iterator[str]:
    if embeddings.shape is None or embeddings.ndim != 2 or 0 in embeddings.shape:
        yield f"{EMBEDDINGS}: found the shape {embeddings.shape}, expected (N, C)"
    else:
        yield from _length_complaints(entries, EMBEDDINGS, embeddings.shape[0])


def _image_complaints(images: h5py.Dataset, entries: Mapping[str, Any], *, has_class_names: bool) -> Iterator[str]:
    if images.shape is None or images.ndim != 4 or images.shape[1] != images.shape[2] or not 1 <= images.shape[3] <= MAX_BANDS:
        yield f"images: found the shape {images.shape}, expected (N, S, S, 3), or 1 to {MAX_BANDS} bands"
        return
    num_galaxies, size = images.shape[:2]
    if not num_galaxies or not size:
        yield f"images: found the shape {images.shape}; the file holds no galaxies"
    if size == 69 and "ans" in entries and not has_class_names:
        yield (
            "images of 69 x 69 px without class names: this is Galaxy10 SDSS, whose ten classes are others; use Galaxy10 "
            "DECaLS (256 x 256 px), or name the classes in the file's attribute class_names"
        )
    yield from _length_complaints(entries, "images", num_galaxies)


def _length_complaints(entries: Mapping[str, Any], content: str, num_galaxies: int) -> Iterator[str]:
    for name, entry in entries.items():
        if isinstance(entry, h5py.Dataset) and name != content and entry.shape != (num_galaxies,):
            yield f"{name}: found the shape {entry.shape}, expected ({num_galaxies},)"


def _band_complaints(images: h5py.Dataset, bands: Sequence[str]) -> Iterator[str]:
    if images.ndim == 4 and len(bands) != images.shape[3]:
        yield (
            f"images: found the shape {images.shape} and the bands {', '.join(bands)}; expected is the attribute bands with a "
            "name for each"
        )
    if any(not name or name.count(",") or bands.count(name) > 1 for name in bands):
        yield f"bands: found {list(bands)}; every name must be there once, not be empty and have no comma"


def _scale_complaints(images: h5py.Dataset, scales: Sequence[float] | None) -> Iterator[str]:
    if scales is not None and (images.ndim != 4 or len(scales) != images.shape[3] or not all(0 < x < np.inf for x in scales)):
        yield f"{FLUX_SCALES}: found {list(scales)}, expected a number above 0 for each band"


def _is_dtype_of(name: str, dtype: np.dtype[Any]) -> bool:
    if name == "images":
        return dtype in (np.uint8, np.float16)
    if name in (EMBEDDINGS, IMAGE_GROUPS):
        return bool(dtype == (np.float32 if name == EMBEDDINGS else np.int64))
    if name == "ids":
        return dtype.kind in "iu" or h5py.check_string_dtype(dtype) is not None
    return dtype.kind in ("iu" if name in ("ans", GROUP) else "iuf")


def read_class_names(file: h5py.File) -> tuple[str, ...]:
    """Return the class names of an open file, those of Galaxy10 DECaLS where it has labels and no names for them."""
    if "class_names" not in file.attrs:
        return GALAXY10_CLASS_NAMES if "ans" in file else ()
    return _texts(file.attrs["class_names"])


def _num_galaxies(file: h5py.File) -> int:
    if "images" not in file and IMAGE_GROUPS in file:
        return int(file[IMAGE_GROUPS][:, 2].sum())
    return len(file["images" if "images" in file else EMBEDDINGS])


def read_labels(file: h5py.File) -> NDArray[np.int64]:
    """Return what stands in an open file for labels, (N,); UNLABELLED where it has none."""
    if "ans" not in file:
        return np.full(_num_galaxies(file), UNLABELLED)
    labels: NDArray[np.int64] = file["ans"][:].astype(np.int64)
    return labels


def read_bands(file: h5py.File) -> tuple[str, ...]:
    """Return the names of the bands of an open file, those of a picture where it has none."""
    return _texts(file.attrs["bands"]) if "bands" in file.attrs else RGB


def read_flux_scales(file: h5py.File) -> tuple[float, ...] | None:
    """Return the scales that made the images of fluxes, None where they were made otherwise."""
    return tuple(np.ravel(file.attrs[FLUX_SCALES]).astype(float).tolist()) if FLUX_SCALES in file.attrs else None


def _texts(values: Any) -> tuple[str, ...]:
    # Bytes are what h5py gives for text of fixed length.
    return tuple(text.decode() if isinstance(text, bytes) else str(text) for text in np.atleast_1d(values).ravel().tolist())


def read_ids(file: h5py.File) -> pa.StringArray:
    """Return the ids of an open file, (N,); made from the index where it has none."""
    if "ids" not in file:
        return pc.utf8_lpad(pa.array(np.arange(_num_galaxies(file))).cast(pa.string()), 6, "0")
    ids = file["ids"]
    values = ids if ids.dtype.kind in "iu" else ids.asstr()
    # Python's own texts, which h5py makes, take several times the memory of Arrow's.
    parts = [pa.array(values[start : start + _BLOCK_IDS]).cast(pa.string()) for start in range(0, len(ids), _BLOCK_IDS)]
    return pa.concat_arrays(parts)


def class_complaints(class_names: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the names of classes."""
    if len(class_names) > 256:
        yield f"class_names: found {len(class_names)}, at most 256 are allowed"
    if any(count > 1 or not name.strip() for name, count in Counter(class_names).items()):
        yield f"class_names: found {list(class_names)}; every name must be there once, and not be empty"


def label_complaints(labels: NDArray[np.int64], is_unlabelled: NDArray[np.bool_], class_names: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with labels, (N,), of which some stand for none."""
    wrong = np.flatnonzero(((labels < 0) | (labels >= len(class_names))) & ~is_unlabelled)
    if len(wrong):
        first = labels[wrong[0]]
        yield (
            f"ans: {len(wrong)} labels are outside 0 to {len(class_names) - 1} (first: {first}, galaxy {wrong[0]}), since "
            f"there are {len(class_names)} class names; the file's attribute class_names names others. If {first} means no "
            f"label, `-S download.{UNLABELLED_VALUE}={first}` or the file's attribute {UNLABELLED_VALUE} says so"
        )


def id_complaints(ids: pa.StringArray) -> Iterator[str]:
    """Yield what is wrong with ids, (N,)."""
    if pc.count_distinct(ids).as_py() < len(ids):
        counts = pc.value_counts(ids)
        repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        yield f"ids: {len(repeated)} stand there more than once (first: {repeated[0].as_py()!r}); every galaxy needs its own"
