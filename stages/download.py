"""Make data/galaxies.h5, galaxies in the Galaxy10 schema, from the source that params.yaml names."""

from collections.abc import Sequence
from pathlib import Path

from galaxies.runtime import RuntimeParams
from galaxies.sources.download_params import SIMULATED_SIZE, DownloadParams
from galaxies.sources.embeddings import import_embeddings
from galaxies.sources.image_import import LeftOut, write_left_out
from galaxies.sources.parquet_images import import_parquet
from galaxies.sources.sources import copy_hdf5, fetch_galaxy10, import_cutouts, import_images, say_positions, simulate
from stages import main_repository, read_params, run_stage, user_path


def main() -> None:
    """Write the galaxies of one of the sources, and which of them were left out."""
    params, runtime = read_params("download", DownloadParams), read_params("runtime", RuntimeParams)
    out = Path("data/galaxies.h5")
    left_out = _make_galaxies(out, params, num_workers=runtime.count_workers())
    say_positions(out)
    write_left_out(Path("data/left_out.csv"), left_out)


def _make_galaxies(out: Path, params: DownloadParams, *, num_workers: int) -> Sequence[LeftOut]:
    """Write the galaxies, and return which were left out."""
    if params.source == "simulated":
        simulate(
            out,
            num_galaxies=params.num_galaxies,
            image_size=params.image_size or SIMULATED_SIZE,
            seed=params.seed,
            unlabelled_fraction=params.unlabelled_fraction,
            num_workers=num_workers,
        )
        return ()
    if params.source == "galaxy10_decals":
        fetch_galaxy10(out, url=params.url, sha256=params.sha256, root=main_repository())
        return ()
    path, columns, unlabelled = user_path(str(params.path)), params.columns, params.unlabelled_value
    if params.source == "hdf5":
        copy_hdf5(out, path=path, sha256=params.sha256, unlabelled_value=unlabelled)
        return ()
    if params.source == "parquet":
        import_parquet(out, path=path, image=columns, sha256=params.sha256, unlabelled_value=unlabelled)
        return ()
    if params.source == "embeddings":
        return import_embeddings(out, path=path, columns=columns, sha256=params.sha256, on_error=params.on_error)
    if params.source == "cutouts":
        return import_cutouts(out, path=path, params=params, root=main_repository(), num_threads=num_workers)
    return import_images(out, path=path, params=params, num_threads=num_workers)


if __name__ == "__main__":
    run_stage(main)
