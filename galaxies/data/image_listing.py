"""Where images stand that were not copied: Parquet files, their row groups, and how many rows each of these has.

In ``galaxies.h5`` this is the data set ``image_groups``, a row for each row group, and ``image_files``, one for each file.
Galaxy i is the i-th row of the groups. Legend: F files, G row groups.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from galaxies.errors import InputError

IMAGE_GROUPS = "image_groups"
"""The data set of a file whose images stand elsewhere, (G, 4) int64: file, row group, rows, bytes of its images."""

IMAGE_FILES = "image_files"
"""The data set beside it, (F,): name, bytes and digest of the footer of each file, as JSON."""

_MAGIC_BYTES = 8  # The length of a footer, and the four letters at the end of every Parquet file.


@dataclass(frozen=True)
class ListedFile:
    """A Parquet file as it was when it was listed."""

    name: str  # relative to the folder of the listing
    num_bytes: int
    footer_sha256: str  # which tells where every page is, how long, and how many rows there are


@dataclass(frozen=True)
class ImageListing:
    """Where every image is."""

    folder: Path  # absolute
    column: str  # that holds the encoded images, as Parquet names it: `image`, or `image.bytes` of a struct
    image_size: int  # px
    files: tuple[ListedFile, ...]  # F
    groups: NDArray[np.int64]  # (G, 4) file, row group in it, rows, bytes of the images before compression

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(G + 1,) the first galaxy of each row group, and the number of galaxies."""
        return np.concatenate([[0], np.cumsum(self.groups[:, 2])])

    @property
    def num_galaxies(self) -> int:
        """How many images there are."""
        return int(self.starts[-1])

    @property
    def sha256(self) -> str:
        """What ``download.sha256`` wants: files, their names and footers, and the column. The images' bytes do not enter."""
        text = json.dumps([self.column, *map(asdict, self.files)])
        return hashlib.sha256(text.encode()).hexdigest()

    def require_unchanged(self, number: int) -> Path:
        """Return the path of a file. Raises InputError where it is missing, or not the one that was listed."""
        listed = self.files[number]
        path = self.folder / listed.name
        again = "Bring it back, or run `dvc repro --force download` and give the new digest in download.sha256."
        try:
            found = list_file(path, self.folder)
        except FileNotFoundError:
            raise InputError(f"{path}: this file of data/galaxies.h5's images is gone. {again}") from None
        if found != listed:
            raise InputError(
                f"{path} has changed since its images were listed in data/galaxies.h5: found {found.num_bytes:,} bytes with "
                f"the footer {found.footer_sha256[:12]}…, expected {listed.num_bytes:,} with "
                f"{listed.footer_sha256[:12]}…. {again}"
            )
        return path


def list_file(path: Path, folder: Path) -> ListedFile:
    """Look at size and footer of a Parquet file. Raises InputError when it is none."""
    with path.open("rb") as file:
        num_bytes = file.seek(0, 2)
        file.seek(max(num_bytes - _MAGIC_BYTES, 0))
        end = file.read()
        length = int.from_bytes(end[:4], "little") + _MAGIC_BYTES
        if end[4:] != b"PAR1" or length > num_bytes:
            raise InputError(f"{path} is not a Parquet file, or truncated: its last bytes are {end[4:]!r}, expected b'PAR1'.")
        file.seek(num_bytes - length)
        footer = hashlib.sha256(file.read()).hexdigest()
    return ListedFile(path.relative_to(folder).as_posix(), num_bytes, footer)


def write_listing(file: h5py.File, listing: ImageListing) -> None:
    """Write a listing into a new file."""
    groups = file.create_dataset(IMAGE_GROUPS, data=listing.groups)
    groups.attrs["folder"], groups.attrs["column"] = str(listing.folder), listing.column
    groups.attrs["image_size"], groups.attrs["sha256"] = listing.image_size, listing.sha256
    texts = [json.dumps(asdict(listed)) for listed in listing.files]
    file.create_dataset(IMAGE_FILES, data=np.array(texts, dtype=object), dtype=h5py.string_dtype())


def read_listing(file: h5py.File) -> ImageListing:
    """Return the listing of an open file that has one."""
    groups, texts = file[IMAGE_GROUPS], file[IMAGE_FILES].asstr()[:].tolist()
    files = tuple(ListedFile(**json.loads(text)) for text in texts)
    about = groups.attrs
    return ImageListing(Path(about["folder"]), str(about["column"]), int(about["image_size"]), files, groups[:])
