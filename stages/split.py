"""Decide which galaxies are used and how they are divided: data/catalog.csv, data/splits.csv, and what there is to know."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from galaxies.data.catalog import image_sha256, write_catalog, write_splits
from galaxies.data.census import count_classes, describe_data
from galaxies.data.corrections import correct_labels
from galaxies.data.field_of_view import FieldOfView, write_field
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import SplitParams, make_tables, select_galaxies
from galaxies.files import write_text
from galaxies.sources.sources import DownloadParams, discard_galaxy10
from stages import main_repository, read_params, run_stage, user_path

_BLOCK_ROWS = 64


def main() -> None:
    """Read the galaxies once, then write the two tables, the field of view of the train rows, and a report."""
    params = read_params("split", SplitParams)
    with GalaxyFile(Path("data/galaxies.h5")) as galaxies:
        source = read_params("download", DownloadParams)
        if source.source == "galaxy10_decals":
            # The file is recorded and sound, so nobody needs to publish it again.
            discard_galaxy10(url=source.url, sha256=source.sha256, root=main_repository())
        digests, is_blank = scan_images(galaxies)
        labels = strata = galaxies.labels.astype(np.int64)
        if params.corrections is not None:
            labels = correct_labels(
                labels,
                galaxies.ids,
                galaxies.class_names,
                path=user_path(params.corrections),
                sha256=params.corrections_sha256,
            )
        selection = select_galaxies(labels, digests, is_blank, ra=galaxies.ra, dec=galaxies.dec, strata=strata, params=params)
        catalog, splits = make_tables(
            selection, labels, digests=digests, ids=galaxies.ids, class_names=galaxies.class_names, params=params
        )
        field = FieldOfView.of_images(galaxies.image_size, galaxies.pxscale[catalog.galaxy[splits.rows("train")]])
        report = describe_data(selection, splits, redshift=galaxies.redshift, ra=galaxies.ra)
    write_catalog(Path("data/catalog.csv"), catalog)
    write_splits(Path("data/splits.csv"), splits)
    write_field(Path("data/field_of_view.json"), field)
    write_text(Path("metrics/data.json"), json.dumps(report, indent=2) + "\n")
    write_text(Path("metrics/data_classes.csv"), count_classes(splits))


def scan_images(galaxies: GalaxyFile) -> tuple[list[str], NDArray[np.bool_]]:
    """Return each image's digest, and whether it is constant."""
    digests: list[str] = []
    is_blank = np.zeros(galaxies.num_galaxies, bool)
    with tqdm(total=galaxies.num_galaxies, desc="split", unit="galaxy") as progress:
        for start, images in galaxies.blocks(_BLOCK_ROWS):
            digests += [image_sha256(image) for image in images]
            pixels = images.reshape(len(images), -1, 3)
            is_blank[start : start + len(images)] = (pixels == pixels[:, :1]).all(axis=(1, 2))
            progress.update(len(images))
    return digests, is_blank


if __name__ == "__main__":
    run_stage(main)
