"""Opening HDF5 files, which other programs hold open and some file systems cannot lock."""

from pathlib import Path
from typing import Literal

import h5py

from galaxies.errors import InputError


def open_to_read(path: Path, **options: int) -> h5py.File:
    """Open an HDF5 file; every reason against it is an InputError that says what to do."""
    try:
        return open_hdf5(path, "r", **options)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro download` makes data/galaxies.h5.") from None
    except BlockingIOError as error:
        raise InputError(
            f"{path} is open for writing in another program, such as a notebook; close it there. If nothing is written to it "
            "any more, HDF5_USE_FILE_LOCKING=FALSE in the environment reads it all the same."
        ) from error
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path} is no file that you may read ({one_line(error)}); expected is an HDF5 file.") from error
    except OSError as error:
        reason = one_line(error)
        if "already open for write" in reason:
            raise InputError(
                f"{path} is being written by another program, or was by one that was killed. Close it there, or, if there is "
                f"none, mark it as closed: `h5clear -s {path}`."
            ) from error
        raise InputError(f"{path} cannot be read as HDF5 ({reason}): it is truncated or not an HDF5 file.") from error


def open_hdf5(path: Path, mode: Literal["r", "w"], **options: int) -> h5py.File:
    """Open an HDF5 file under HDF5's lock, or without it where the file system has none, as some network file systems."""
    try:
        return h5py.File(path, mode, **options)
    except OSError as error:
        if "unable to lock file" not in str(error) or isinstance(error, BlockingIOError):
            raise
    return h5py.File(path, mode, locking=False, **options)


def one_line(error: Exception) -> str:
    """HDF5 tells its errors in several lines."""
    return " ".join(str(error).split())
