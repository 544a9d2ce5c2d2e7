"""Look at whatever a user has, and say what it is, what is in it, and which parameters would use it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_schema import EMBEDDINGS
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.params_file import Value
from galaxies.sources.band_files import has_image_name
from galaxies.sources.catalogues import CATALOGUE_SUFFIXES, is_image_catalogue, is_table
from galaxies.sources.cutouts import list_cutouts
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.embedding_table import holds_embeddings
from galaxies.sources.embeddings import check_embeddings
from galaxies.sources.image_catalogue import (
    ImageCatalogue,
    digest_images,
    make_catalogue,
    read_catalogue,
    refuse_complaints,
    refuse_wrong,
)
from galaxies.sources.image_import import CheckedImages, ImportOptions, check_images, find_unusable
from galaxies.sources.image_measures import Framing, Measures, choose_field
from galaxies.sources.inputs import HDF5_SUFFIXES
from galaxies.sources.parquet_images import open_set, read_columns
from galaxies.sources.parquet_tables import holds_images

_MOST_CLASSES = 12
_NO_LABELS = (
    "No galaxy has a label: nothing can be trained on these alone. A table of votes, numbers or tags labels them: "
    "`galaxies targets TABLE`. A head that is there predicts them: `galaxies predict TABLE --out predictions.csv`, where TABLE "
    "names their images in a column path."
)


@dataclass(frozen=True)
class Findings:
    """What was found."""

    lines: tuple[str, ...]  # for a person
    params: Mapping[str, Value] = field(default_factory=dict)  # of the section `download`, that would use it
    layer: str | None = None  # the only one that can be had of it; None: those of any backbone


def look_at(path: Path, options: ImportOptions) -> Findings:
    """Look at a file in the Galaxy10 schema, class folders, a catalogue of images or positions, embeddings, or Parquet images.

    Args:
        path: of it.
        options: how it would be imported; a size or field that is not asked for is found.

    Raises:
        InputError: it is none of these, or everything that is wrong with it.
    """
    if holds_images(path):
        return _look_at_parquet(path)
    if not path.exists():
        raise InputError(f"There is no file or folder {path}.")
    if path.is_file() and path.suffix.lower() in HDF5_SUFFIXES:
        return _look_at_hdf5(path)
    if path.is_dir() or is_image_catalogue(path, options.channels.names_of_files):
        return _look_at_images(path, options)
    if path.suffix.lower() in (".parquet", ".pq") and holds_embeddings(path):
        return _look_at_embeddings(path, options)
    if is_table(path):
        return _look_at_positions(path, options)
    known = ", ".join((*HDF5_SUFFIXES, *CATALOGUE_SUFFIXES))
    hint = f" To predict it: `galaxies predict {path} --out predictions.csv`." if has_image_name(path) else ""
    raise InputError(f"{path}: expected a folder with a sub-folder for each class, or one of {known}.{hint}")


def _look_at_hdf5(path: Path) -> Findings:
    with GalaxyFile(path) as galaxies:
        galaxies.check_columns()
        names = [*galaxies.class_names, ""]  # UNLABELLED, as an index, is the last.
        counts = Counter(names[label] for label in galaxies.labels.tolist())
        known = int(np.isfinite(galaxies.ra + galaxies.dec).sum())
        lines = (
            f"{path} is a file in the Galaxy10 schema: {galaxies.num_galaxies:,} galaxies.",
            _say_classes(counts),
            f"Images: {galaxies.image_size} x {galaxies.image_size} px, bands {', '.join(galaxies.bands)}.",
            f"Positions: {_share(known, galaxies.num_galaxies)} known.",
        )
    return Findings(lines, {"source": "hdf5", "path": str(path), "sha256": file_sha256(path)})


def _look_at_images(path: Path, options: ImportOptions) -> Findings:
    if path.is_dir() and not any(entry.is_dir() for entry in path.iterdir()) and any(map(has_image_name, path.iterdir())):
        raise InputError(
            f"{path} holds images, but no folders that name their classes. To train, put them into a sub-folder for each "
            f"class, or write a catalogue (id, path, label). To predict them: `galaxies predict {path} --out predictions.csv`."
        )
    catalogue = read_catalogue(path, options.channels.names_of_files)
    framing = options.framing
    # With a size that is asked for, whatever it is, several sizes are no error.
    measured = replace(options, framing=Framing(framing.image_size or 1, framing.field_arcsec if framing.is_complete else None))
    checked = check_images(catalogue, measured)
    sizes = [] if checked.measures is None else Counter(checked.measures.side.tolist()).most_common()
    size = framing.image_size or (sizes[0][0] if len(sizes) > 1 else None)
    checked = _leave_unusable_out(checked, replace(options, framing=replace(framing, image_size=size)))
    kind = "a folder of class folders" if path.is_dir() else "a catalogue of images"
    lines = [f"{path} is {kind}: {len(checked.catalogue.lines):,} galaxies."]
    lines += [f"Left out: {len(checked.left_out):,}, such as {checked.left_out[0].reason}."] if checked.left_out else []
    lines += [_say_classes(Counter(line.class_name for line in checked.catalogue.lines)), _say_files(checked.catalogue)]
    lines += [_say_sizes(sizes, checked.measures)] if checked.measures is not None else []
    lines += [f"Channels: {', '.join(options.channels.bands)}."] if not options.channels.are_picture else []
    lines += [f"All are brought to {size} px."] if size is not None else []
    params = {"source": "images", "path": str(path), "sha256": digest_images(catalogue, options.on_error)}
    return Findings(tuple(lines), {**params, **_say_options(options, size)})


def _leave_unusable_out(checked: CheckedImages, options: ImportOptions) -> CheckedImages:
    """Read every image, as the stage will: a header can be sound and what it tells of be in doubt."""
    catalogue = checked.catalogue
    field = choose_field(checked.measures, options.framing, options.channels, catalogue.path)
    unusable = find_unusable(catalogue, field, options)
    if options.on_error == "refuse":
        refuse_complaints(catalogue.path, list(unusable.values()))
    return checked.leave_out(unusable)


def _look_at_positions(path: Path, options: ImportOptions) -> Findings:
    catalogue = make_catalogue(path, path.parent, list_cutouts(path, DownloadParams().service))
    refuse_wrong(catalogue, options.on_error)
    num_wrong = len(catalogue.wrong)
    lines = [
        f"{path} is a catalogue of positions: {len(catalogue.lines) - num_wrong:,} galaxies, whose cutouts will be fetched."
    ]
    lines += [f"Left out: {num_wrong:,}, such as {next(iter(catalogue.wrong.values()))}."] if num_wrong else []
    used = [line for place, line in enumerate(catalogue.lines) if place not in catalogue.wrong]
    lines += [_say_classes(Counter(line.class_name for line in used))]
    params = {"source": "cutouts", "path": str(path), "sha256": file_sha256(path)}
    return Findings(tuple(lines), {**params, **_say_options(options, options.framing.image_size)})


def _look_at_parquet(path: Path) -> Findings:
    found = open_set(path)
    listing, columns = found.listing, read_columns(found)
    names = [*columns.class_names, ""]  # UNLABELLED, as an index, is the last.
    counts = Counter(names[label] for label in columns.labels.tolist())
    num_unlabelled = counts.pop("", 0)
    known = int(np.isfinite(columns.positions["ra"] + columns.positions["dec"]).sum())
    lines = (
        f"{path} holds encoded images in {len(listing.files):,} Parquet files: {listing.num_galaxies:,} galaxies.",
        _say_classes(counts),
        f"Columns: {', '.join([f'images {listing.column}', *(f'{key} {name}' for key, name in found.columns.known.items())])}.",
        f"Labels: {_share(listing.num_galaxies - num_unlabelled, listing.num_galaxies)} known; positions: "
        f"{_share(known, listing.num_galaxies)} known.",
        f"Images: {listing.image_size} x {listing.image_size} px, as the first one; they are not copied.",
    )
    return Findings(lines, {"source": "parquet", "path": str(path), "sha256": listing.sha256})


def _look_at_embeddings(path: Path, options: ImportOptions) -> Findings:
    checked = check_embeddings(path, None, options.on_error)
    used = [line for place, line in enumerate(checked.lines) if place not in checked.wrong]
    labelled = Counter(line.class_name for line in used if line.label)
    known = sum(bool(np.isfinite(line.ra + line.dec)) for line in used)
    columns = checked.table.columns
    where = f"the lists in {columns[0]}" if checked.table.holds_lists else f"{columns[0]} to {columns[-1]}"
    lines = [
        f"{path} is a table of embeddings: {len(used):,} galaxies of {checked.num_features} features, {where}.",
        _say_classes(labelled),
        f"Labels: {_share(sum(labelled.values()), len(used))} known; positions: {_share(known, len(used))} known.",
    ]
    lines += [f"Left out: {len(checked.wrong):,}, such as {next(iter(checked.wrong.values()))}."] if checked.wrong else []
    params = {"source": "embeddings", "path": str(path), "sha256": file_sha256(path), "on_error": options.on_error}
    return Findings(tuple(lines), params, layer=EMBEDDINGS)


def _say_options(options: ImportOptions, image_size: int | None) -> dict[str, Value]:
    channels = options.channels
    return {
        "image_size": image_size,
        "field_arcsec": options.framing.field_arcsec,
        "bands": None if channels.are_picture else list(channels.bands),
        "dtype": channels.dtype,
        "zero_point": options.reading.zero_point,
        "on_error": options.on_error,
    }


def _say_classes(counts: Mapping[str, int]) -> str:
    """Say how many galaxies each class has; the empty name stands for no label."""
    known = sorted((name, count) for name, count in counts.items() if name)
    shown = ", ".join(f"{name} ({count:,})" for name, count in known[:_MOST_CLASSES])
    classes = f"Classes: {len(known)}: {shown}{', …' if len(known) > _MOST_CLASSES else ''}." if known else _NO_LABELS
    return f"{classes} Without a label: {counts['']:,}." if known and counts.get("") else classes


def _say_files(catalogue: ImageCatalogue) -> str:
    kinds = Counter(
        "a file a band" if len(line.paths) > 1 else "".join(Path(line.paths[0]).suffixes[-1:]).lower()
        for line in catalogue.lines
    )
    positions = sum(np.isfinite(line.ra + line.dec) for line in catalogue.lines)
    listing = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
    return f"Files: {listing}; positions: {_share(int(positions), len(catalogue.lines))} known."


def _say_sizes(sizes: list[tuple[int, int]], measures: Measures) -> str:
    known = np.isfinite(measures.pxscale)
    shown = ", ".join(f"{size} px ({count:,})" for size, count in sizes[:5]) + (", …" if len(sizes) > 5 else "")
    scales = f"pixel scales: {_share(int(known.sum()), len(known))} known"
    if known.any():
        width = float(np.median((measures.side * measures.pxscale)[known]))
        scales += f", the median image shows {width:.3g} arcsec"
    return f"Sizes: {shown}; {scales}."


def _share(number: int, total: int) -> str:
    return "all" if number == total else "none" if not number else f"{number:,} of {total:,}"
