"""A user's own labelled galaxies: a folder with one sub-folder a class, or a catalogue of image files.

Legend: S image size in pixels, B galaxies in a block.
"""

import hashlib
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.galaxy_file import GalaxyBlock

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fz")
"""Fluxes, not pictures; prediction reads them (``fits_files``), labelled catalogues are pictures."""

# A PNG of some kilobytes can unpack to gigabytes; cutouts of galaxies are far below this.
MAX_PIXELS = 4096 * 4096

DAMAGE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What the readers of image files raise on damaged bytes; each kind was met with files changed at random."""

# Pillow knows dozens of formats, and one of them starts another program; what is none of ours is no image here.
_FORMATS = ("JPEG", "PNG", "TIFF")
_BLOCK_ROWS = 64
_MAX_COMPLAINTS = 40
# Modes that turn into RGB without a choice: grey levels repeat, a palette looks up, CMYK is what JPEG may hold.
_CONVERTIBLE = ("RGB", "L", "P", "CMYK", "YCbCr", "RGBA", "LA", "1")


@dataclass(frozen=True)
class ImageCatalogue:
    """Which files there are and what is known of each; M images."""

    paths: tuple[Path, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.uint8]  # (M,) index into class_names
    class_names: tuple[str, ...]
    ra: NDArray[np.float64]  # (M,) deg, NaN where unknown
    dec: NDArray[np.float64]
    pxscale: NDArray[np.float64]  # (M,) arcsec/px


def read_catalogue(path: Path) -> ImageCatalogue:
    """Return what ``path`` names: a folder of class folders, or a CSV or Parquet file with the columns id, path, label.

    Optional columns are ra, dec (deg) and pxscale (arcsec/px). Classes are ordered by name, or by number where all labels
    are numbers. Image paths are relative to the catalogue's folder.

    Raises:
        InputError: one message with everything that is wrong: missing columns, repeated ids or files, missing labels.
    """
    table = _list_folder(path) if path.is_dir() else _read_table(path)
    complaints = [f"the id {name!r} stands there {count} times" for name, count in _repeated(table["id"])]
    complaints += [f"the file {name} stands there {count} times" for name, count in _repeated(table["path"])]
    complaints += [f"{name}: no label" for name in table["path"][table["label"] == ""]]
    if not len(table):
        complaints.append(f"no images ({', '.join(IMAGE_SUFFIXES)}) in it")
    _refuse(path, complaints)
    names = sorted(table["label"].unique(), key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))
    if len(names) > 256:
        raise InputError(f"{path}: found {len(names)} classes, at most 256 are allowed; is `label` the right column?")
    folder = path if path.is_dir() else path.parent
    return ImageCatalogue(
        tuple(folder / name for name in table["path"]),
        tuple(table["id"]),
        table["label"].map({name: label for label, name in enumerate(names)}).to_numpy(np.uint8),
        tuple(names),
        *(_number_column(table, name, path) for name in ("ra", "dec", "pxscale")),
    )


def digest_images(path: Path) -> str:
    """Return the sha256 over a catalogue and its files: each line is id, label and the digest of one file."""
    catalogue = read_catalogue(path)
    digest = hashlib.sha256()
    for name, label, file in zip(catalogue.ids, catalogue.labels, tqdm(catalogue.paths, "digest", unit="file"), strict=True):
        if not file.is_file():
            raise InputError(f"{path}: there is no file {file}.")
        digest.update(f"{name}\t{catalogue.class_names[label]}\t{file_sha256(file)}\n".encode())
    for column in (catalogue.ra, catalogue.dec, catalogue.pxscale):
        digest.update(column.tobytes())
    return digest.hexdigest()


def find_image_size(catalogue: ImageCatalogue, path: Path) -> int:
    """Return the one size of all images in pixels, from their headers alone.

    Raises InputError that lists every file that is missing, unreadable, not square or of another size than most.
    """
    sizes, complaints = [], []
    for file in tqdm(catalogue.paths, "check images", unit="file"):
        try:
            with Image.open(file, formats=_FORMATS) as image:
                complaints += [f"{file}: {reason}" for reason in _reasons_against(image)]
                sizes.append(image.size)
        except DAMAGE_ERRORS as error:
            complaints.append(f"{file}: {say_damage(error)}")
            sizes.append((0, 0))
    common = Counter(size for size in sizes if size != (0, 0)).most_common(1)
    width, height = common[0][0] if common else (0, 0)
    if width != height:
        complaints.append(f"most images are {width} x {height} px, but a cutout must be square")
    complaints += [
        f"{file}: {size[0]} x {size[1]} px, most are {width} x {height}"
        for file, size in zip(catalogue.paths, sizes, strict=True)
        if size not in ((0, 0), (width, height))
    ]
    _refuse(path, complaints)
    return width


def read_blocks(catalogue: ImageCatalogue, image_size: int, path: Path) -> Iterator[GalaxyBlock]:
    """Yield the galaxies in blocks, decoded; memory does not grow with their number.

    Raises InputError at the end, with every file that cannot be decoded: a header can be sound and the rest cut off.
    """
    complaints: list[str] = []
    num_images = len(catalogue.paths)
    with tqdm(total=num_images, desc="read images", unit="galaxy") as progress:
        for start in range(0, num_images, _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            images = np.zeros((len(catalogue.paths[rows]), image_size, image_size, 3), np.uint8)
            for position, file in enumerate(catalogue.paths[rows]):
                try:
                    images[position] = read_image(file)
                except DAMAGE_ERRORS as error:
                    complaints.append(f"{file}: {say_damage(error)}")
            unknown = np.full(len(images), np.nan)
            yield GalaxyBlock(
                images,
                catalogue.labels[rows],
                catalogue.ra[rows],
                catalogue.dec[rows],
                unknown,
                catalogue.pxscale[rows],
                catalogue.ids[rows],
            )
            progress.update(len(images))
    _refuse(path, complaints)


def read_image(file: Path) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG, PNG or TIFF file, upright as its EXIF says: (H, W, 3) uint8.

    Raises one of DAMAGE_ERRORS, for :func:`say_damage` to put in words, also for pixels that have no one way to 8-bit RGB.
    """
    with Image.open(file, formats=_FORMATS) as image:
        for reason in _reasons_against(image):
            raise ValueError(reason)
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _reasons_against(image: Image.Image) -> Iterator[str]:
    if image.width * image.height > MAX_PIXELS:
        yield f"{image.width} x {image.height} px, more than the limit of {MAX_PIXELS:,} pixels"
    elif image.mode not in _CONVERTIBLE:
        yield f"pixels of the kind {image.mode}; save it as 8-bit RGB: how 16 bits become 8 is the observer's choice"
    elif image.mode in ("RGBA", "LA") and image.getextrema()[-1] != (255, 255):
        yield "transparent pixels; save it without an alpha channel"


def _list_folder(folder: Path) -> pd.DataFrame:
    files = sorted(
        file.relative_to(folder)
        for file in folder.glob("*/*")
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    )
    names = [str(file) for file in files]
    return pd.DataFrame(
        {"id": [str(file.with_suffix("")) for file in files], "path": names, "label": [file.parts[0] for file in files]},
        dtype=str,
    )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"download.path: there is no file or folder {path}.") from None
    except (OSError, ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(
            f"download.path: {path} cannot be read as a catalogue ({error}); expected is CSV or Parquet."
        ) from error
    missing = [name for name in ("id", "path", "label") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: found the columns {list(table.columns)}, missing {missing}; a catalogue has id, path, label and may have "
            "ra, dec (deg) and pxscale (arcsec/px)."
        )
    for name in ("id", "path", "label"):
        table[name] = table[name].fillna("").astype(str)
    return table


def _number_column(table: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    if name not in table:
        return np.full(len(table), np.nan)
    numbers = pd.to_numeric(table[name].replace("", np.nan), errors="coerce")
    wrong = table[name][numbers.isna() & table[name].notna() & ~table[name].isin(["", "nan", "NaN"])]
    if len(wrong):
        raise InputError(f"{path}: the column {name} holds {wrong.iloc[0]!r}, which is no number; leave unknown ones empty.")
    return numbers.to_numpy(np.float64)


def _repeated(column: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(column).items() if count > 1]


def say_damage(error: BaseException) -> str:
    """Return one line that says why a file could not be read."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _refuse(path: Path, complaints: list[str]) -> None:
    """Raise InputError when there are complaints, all of them together up to a screenful."""
    if complaints:
        shown = "\n".join(f"  {complaint}" for complaint in complaints[:_MAX_COMPLAINTS])
        more = f"\n  … and {len(complaints) - _MAX_COMPLAINTS} more" if len(complaints) > _MAX_COMPLAINTS else ""
        raise InputError(f"{path}: {len(complaints)} things must be put right:\n{shown}{more}")
