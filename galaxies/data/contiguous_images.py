"""Images that lie in an HDF5 file one after the other, uncompressed: read past HDF5, whose one lock lets one thread read.

Legend: B images, S their size in pixels, C bands.
"""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


class ContiguousImages:
    """Reads images at their place in the file; any number of threads may do so at once."""

    def __init__(self, path: Path, offset: int) -> None:
        """Open the file; the images begin at byte ``offset``."""
        self._file, self._offset = path.open("rb", buffering=0), offset

    def read_into(self, images: NDArray[Any], first: int) -> None:
        """Fill ``images``, (B, S, S, C), with those from index ``first`` on. Raises OSError where the file ends before."""
        content = memoryview(images.reshape(-1).view(np.uint8).data)
        offset = self._offset + first * images[0].nbytes
        while content:
            # One call reads at most 2 GiB.
            num_read = os.preadv(self._file.fileno(), [content], offset)
            if num_read == 0:
                raise OSError(f"the file ends at byte {offset}")
            content, offset = content[num_read:], offset + num_read

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_contiguous(path: Path, images: h5py.Dataset) -> ContiguousImages | None:
    """Return the images of an open file, or None where HDF5 must decode them or the system cannot read at a place."""
    offset = images.id.get_offset()  # None unless they are contiguous and were written.
    return ContiguousImages(path, offset) if offset is not None and hasattr(os, "preadv") else None
