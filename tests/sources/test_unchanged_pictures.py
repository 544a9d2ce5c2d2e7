"""Pictures become the galaxies.h5 that version 0.1 wrote, to the byte."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from galaxies.files import file_sha256
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.sources import import_images

# Of what the code of version 0.1 (commit 2409b2a) wrote of the same pictures: of all that stands in the file, and of its bytes.
CONTENT_SHA256 = "84638f16ee04d129735bf98499fb0dd2622823a9359a2f4f69aef60a8b773ab2"
FILE_SHA256 = {"2.0.0": "a601579ca05e3bac9032c262c5bc4de29a72e557786f45b4e30515ff8e8640a8"}
"""By the version of the HDF5 library, which lays a file out."""


def make_pictures(folder: Path) -> Path:
    """Make three PNG and three JPEG of one size, and a catalogue of them."""
    y, x = np.indices((24, 24))
    lines = ["id,path,ra,dec,pxscale,label"]
    for number in range(6):
        levels = np.stack([(x * 7 + number * 31) % 256, (y * 9 + number) % 256, (x * y + number * 5) % 256], axis=-1)
        name = f"{number}.{'jpg' if number % 2 else 'png'}"
        Image.fromarray(levels.astype(np.uint8)).save(folder / name, quality=95)
        lines.append(f"g{number},{name},{150 + number / 8},{2 - number / 4},{'' if number == 5 else 0.25},{'ab'[number % 2]}")
    (folder / "c.csv").write_text("\n".join(lines) + "\n")
    return folder / "c.csv"


def content_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with h5py.File(path) as file:
        for name in sorted(file):
            values = file[name][:]
            content = "\n".join(value.decode() for value in values).encode() if values.dtype.kind == "O" else values.tobytes()
            digest.update(f"{name} {values.dtype.kind} {values.shape} ".encode() + content)
        for name in sorted(file.attrs):
            digest.update(f"{name} {np.atleast_1d(file.attrs[name]).tolist()}".encode())
    return digest.hexdigest()


def test_pictures_of_one_size_are_the_bytes_of_version_0_1(tmp_path: Path) -> None:
    path = make_pictures(tmp_path)
    params = DownloadParams(source="images", path=str(path), sha256="any")
    import_images(tmp_path / "out.h5", path=path, params=params, num_threads=2)
    assert content_sha256(tmp_path / "out.h5") == CONTENT_SHA256
    expected = FILE_SHA256.get(h5py.version.hdf5_version)
    assert expected is None or file_sha256(tmp_path / "out.h5") == expected
