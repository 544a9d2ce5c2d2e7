"""Where galaxies come from, labelled or not; whatever the source, the result is one file in the Galaxy10 schema."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.bands import PICTURE_BANDS
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.data.galaxy_writer import GalaxyBlock, pack_labels, write_galaxies
from galaxies.errors import InputError
from galaxies.files import file_sha256, require_digest, require_free_disk
from galaxies.simulation.survey import simulate_survey
from galaxies.sources.catalogues import is_image_catalogue
from galaxies.sources.cutouts import fetch_cutouts, list_cutouts
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.image_catalogue import OnError, digest_images, make_catalogue, read_catalogue, refuse_wrong
from galaxies.sources.image_import import ImportOptions, LeftOut, check_images, import_galaxies
from galaxies.sources.image_measures import Framing
from galaxies.sources.parquet_images import open_set
from galaxies.sources.parquet_tables import holds_images
from galaxies.sources.transfer import RemoteFile, download
from galaxies.tables.cells import read_positions
from galaxies.work_folder import discard_work, open_work_folder, work_path

GALAXY10_URL = "https://zenodo.org/records/10845026/files/Galaxy10_DECals.h5"
GALAXY10_SHA256 = "19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571"
"""Galaxy10 DECaLS (Leung & Bovy 2024, doi 10.5281/zenodo.10845026), 2.7 GB; the digest is astroNN's."""

_logger = logging.getLogger(__name__)


def simulate(out: Path, *, num_galaxies: int, image_size: int, seed: int, unlabelled_fraction: float, num_workers: int) -> None:
    """Render the built-in survey into ``out``."""
    require_free_disk(out.parent, num_galaxies * image_size**2 * 3, f"Simulating {num_galaxies} galaxies")
    blocks = simulate_survey(
        num_galaxies=num_galaxies,
        image_size=image_size,
        seed=seed,
        unlabelled_fraction=unlabelled_fraction,
        num_workers=num_workers,
    )
    with tqdm(total=num_galaxies, desc="simulate", unit="galaxy") as progress:
        write_galaxies(
            out,
            _counted(blocks, progress),
            num_galaxies=num_galaxies,
            image_size=image_size,
            class_names=GALAXY10_CLASS_NAMES,
        )


def fetch_galaxy10(out: Path, *, url: str | None, sha256: str | None, root: Path) -> None:
    """Download Galaxy10 DECaLS to ``out``; one that broke off or was killed continues from its work folder under ``root``."""
    url, sha256 = url or GALAXY10_URL, sha256 or GALAXY10_SHA256
    advice = (
        f"Or get the file by other means and use `-S download.source=hdf5 -S download.path=<path> -S download.sha256={sha256}`."
    )
    remote = RemoteFile(url, sha256, check=_check_schema, advice=advice)
    download(remote, out, work=_work_path(url, sha256, root))


def discard_galaxy10(*, url: str | None, sha256: str | None, root: Path) -> None:
    """Throw away the second copy of a download that a later stage has opened."""
    discard_work(_work_path(url or GALAXY10_URL, sha256 or GALAXY10_SHA256, root))


def _work_path(url: str, sha256: str, root: Path) -> Path:
    """Return the folder of one download: another address or digest never continues it."""
    return work_path(root, "download", {"url": url, "sha256": sha256})


def _check_schema(path: Path) -> None:
    with GalaxyFile(path) as galaxies:
        galaxies.check_columns()


def copy_hdf5(out: Path, *, path: Path, sha256: str | None, unlabelled_value: int | None = None) -> None:
    """Copy a local file in the Galaxy10 schema to ``out``, with every column, contiguous and quick to read.

    A label of ``unlabelled_value`` stands for none; None: as the file itself says. The copy shares no bytes with the original:
    DVC makes outs read-only.
    """
    if path.resolve() == out.resolve():
        raise InputError(
            f"download.path: {path} is what this stage writes; keep your file elsewhere: DVC deletes this one first."
        )
    if not path.exists():
        raise InputError(f"download.path: there is no file {path}; a relative path is relative to the repository.")
    with GalaxyFile(path, unlabelled_value=unlabelled_value) as galaxies:
        galaxies.check_columns()
        require_digest(file_sha256(path), sha256, key="download.sha256", what=str(path))
        num_galaxies, size = galaxies.num_galaxies, galaxies.image_size
        require_free_disk(out.parent, num_galaxies * galaxies.image_bytes, f"Copying {path}")
        with tqdm(total=num_galaxies, desc="copy", unit="galaxy") as progress:
            write_galaxies(
                out,
                _counted(_blocks_of(galaxies), progress),
                num_galaxies=num_galaxies,
                image_size=size,
                class_names=galaxies.class_names,
                framed_pxscale=galaxies.framed_pxscale,
            )


def import_images(out: Path, *, path: Path, params: DownloadParams, num_threads: int) -> Sequence[LeftOut]:
    """Turn a user's own images, which ``path`` names, into ``out``; return what was left out."""
    options = ImportOptions(params.framing, params.on_error, num_threads, params.reading)
    catalogue = read_catalogue(path, options.channels.names_of_files)
    checked = check_images(catalogue, options)
    require_digest(digest_images(catalogue, params.on_error), params.sha256, key="download.sha256", what=str(path))
    return import_galaxies(out, checked, options)


def import_cutouts(out: Path, *, path: Path, params: DownloadParams, root: Path, num_threads: int) -> Sequence[LeftOut]:
    """Bring cutouts of the positions that ``path`` lists, by way of a work folder under ``root``, and make ``out`` of them.

    Returns what was left out.
    """
    service = params.service
    work, lines = service.work_path(root), list_cutouts(path, service)
    refuse_wrong(make_catalogue(path, work, lines), params.on_error)
    require_digest(file_sha256(path), params.sha256, key="download.sha256", what=str(path))
    framing = Framing(service.image_size, service.image_size * service.pxscale)
    options = ImportOptions(framing, params.on_error, num_threads, params.reading)
    with open_work_folder(work):
        found = fetch_cutouts(lines, service, work, params.courtesy, params.reading)
        catalogue = replace(make_catalogue(path, work, found), is_centred=True)
        return import_galaxies(out, check_images(catalogue, options), options)


def digest(path: Path, *, on_error: OnError = "refuse", bands: Sequence[str] = PICTURE_BANDS) -> str:
    """Return the digest that a parameter wants for ``path``: of a file's bytes, of a catalogue and its images, or of a listing.

    A table without the column path (or one for each of ``bands``), as of labels or positions, is a file like any other.
    """
    if holds_images(path):
        return open_set(path).listing.sha256
    if path.is_dir() or is_image_catalogue(path, bands):
        return digest_images(read_catalogue(path, bands), on_error)
    if not path.is_file():
        raise InputError(f"There is no file or folder {path}.")
    return file_sha256(path)


def say_positions(path: Path) -> None:
    """Log how many galaxies of a file have a position: those without may have neighbours on the sky in another split."""
    with GalaxyFile(path, needs_images=False) as galaxies:
        known = int(np.isfinite(galaxies.ra + galaxies.dec).sum())
        _logger.info("%s: positions of %d of %d galaxies are known", path, known, galaxies.num_galaxies)


def _read_positions(galaxies: GalaxyFile, name: str) -> NDArray[np.float64]:
    try:
        return read_positions(getattr(galaxies, name), name)
    except ValueError as error:
        raise InputError(f"{galaxies.path}: {name}, {error}; NaN is unknown.") from None


def _blocks_of(galaxies: GalaxyFile) -> Iterator[GalaxyBlock]:
    labels = pack_labels(galaxies.labels)
    ra, dec = (_read_positions(galaxies, name) for name in ("ra", "dec"))
    for rows, images in galaxies.blocks():
        yield GalaxyBlock(
            images,
            labels[rows],
            ra[rows],
            dec[rows],
            galaxies.redshift[rows],
            galaxies.pxscale[rows],
            tuple(galaxies.ids[rows].to_pylist()),
            galaxies.bands,
            galaxies.channels.flux_scales,
        )


def _counted(blocks: Iterator[GalaxyBlock], progress: "tqdm[Any]") -> Iterator[GalaxyBlock]:
    for block in blocks:
        yield block
        progress.update(len(block.labels))
