"""Decide which galaxies are used and how they are divided: data/catalog.parquet, data/splits.parquet, and a report."""

import logging

import numpy as np
import pyarrow as pa

from galaxies.data.catalog import CatalogRows, write_catalog
from galaxies.data.census import count_classes, describe_data, describe_division
from galaxies.data.checksums import write_checksums
from galaxies.data.division import make_splits
from galaxies.data.field_of_view import find_field, write_field
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.label_table import LabelTable, read_label_table
from galaxies.data.scan import scan_images
from galaxies.data.selection import Candidates, SplitParams, select_galaxies
from galaxies.data.splits import write_splits
from galaxies.data.target_file import write_targets
from galaxies.data.target_table import TargetColumns, join_targets, no_targets
from galaxies.files import write_json, write_text
from galaxies.paths import CATALOG, CHECKSUMS, FIELD_OF_VIEW, GALAXIES, METRICS, SPLITS, TARGETS
from galaxies.runtime import RuntimeParams
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.sources import discard_galaxy10
from stages import main_repository, read_params, run_stage, user_path

_logger = logging.getLogger("galaxies.split")


def main() -> None:
    """Read the galaxies once, then write the tables, the field of view, and a report."""
    params, runtime = read_params("split", SplitParams), read_params("runtime", RuntimeParams)
    with GalaxyFile(GALAXIES, needs_images=False) as galaxies:
        source = read_params("download", DownloadParams)
        if source.source == "galaxy10_decals":
            # The file is recorded and sound, so nobody needs to publish it again.
            discard_galaxy10(url=source.url, sha256=source.sha256, root=main_repository())
        scan = scan_images(galaxies, num_workers=runtime.count_workers())
        source_labels, position = galaxies.labels.astype(np.int64), (galaxies.ra, galaxies.dec)
        candidates = Candidates(source_labels, scan.digests, scan.is_blank, *position, galaxies.group)
        selection = select_galaxies(candidates, params)
        targets = _read_targets(galaxies.ids.take(selection.used), params)
        splits = make_splits(selection, candidates, galaxies.class_names, params, targets, _read_labels(galaxies, params))
        pxscale = galaxies.pxscale[selection.used]
        field = find_field(galaxies.image_size, pxscale, galaxies.framed_pxscale, galaxies.channels)
        report = describe_data(selection, splits, redshift=galaxies.redshift, ra=galaxies.ra)
        report["with_targets"] = int(targets.known.sum())
        division = describe_division(splits, params.fractions, uses_cells=selection.directions is not None)
        rows = CatalogRows(selection.used, galaxies.ids.take(selection.used), scan.digests[selection.used])
    digest = write_catalog(CATALOG, rows)
    write_checksums(CHECKSUMS, scan.checksums[selection.used], catalog=digest)
    write_splits(SPLITS, splits)
    write_targets(TARGETS, targets.names, targets.values, targets.left_out)
    write_field(FIELD_OF_VIEW, field)
    write_json(METRICS / "data.json", {**report, **division})
    write_text(METRICS / "data_classes.csv", count_classes(splits))
    if report["pool"]:
        _logger.info("%d of %d galaxies have no label: they form the pool.", report["pool"], len(splits))


def _read_labels(galaxies: GalaxyFile, params: SplitParams) -> LabelTable | None:
    """Return the table of further labels where there is one."""
    if params.labels is None:
        return None
    return read_label_table(
        user_path(params.labels),
        sha256=params.labels_sha256,
        labels=galaxies.labels.astype(np.int64),
        ids=galaxies.ids,
        class_names=galaxies.class_names,
    )


def _read_targets(ids: pa.StringArray, params: SplitParams) -> TargetColumns:
    """Return what the table of targets says of the galaxies in use, if there is one."""
    if params.targets is None:
        return no_targets(len(ids))
    return join_targets(
        user_path(params.targets), params.targets_sha256, ids, id_column=params.targets_id, folder=TARGETS.parent
    )


if __name__ == "__main__":
    run_stage(main)
