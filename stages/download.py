"""Make data/galaxies.h5, galaxies in the Galaxy10 schema, from the source that params.yaml names."""

from collections.abc import Sequence
from pathlib import Path

from galaxies.runtime import RuntimeParams
from galaxies.sources.download_params import SIMULATED_SIZE, DownloadParams
from galaxies.sources.embeddings import import_embeddings
from galaxies.sources.image_import import LeftOut, write_left_out
from galaxies.sources.parquet_images import import_parquet
from galaxies.sources.sources import copy_hdf5, fetch_galaxy10, import_cutouts, import_images, simulate
from stages import main_repository, read_params, run_stage, user_path


def main() -> None:
    """Write the galaxies of one of the sources, and which of them were left out."""
    params, runtime = read_params("download", DownloadParams), read_params("runtime", RuntimeParams)
    out = Path("data/galaxies.h5")
    left_out: Sequence[LeftOut] = ()
    if params.source == "simulated":
        simulate(
            out,
            num_galaxies=params.num_galaxies,
            image_size=params.image_size or SIMULATED_SIZE,
            seed=params.seed,
            unlabelled_fraction=params.unlabelled_fraction,
            num_workers=runtime.count_workers(),
        )
    elif params.source == "galaxy10_decals":
        fetch_galaxy10(out, url=params.url, sha256=params.sha256, root=main_repository())
    elif params.source == "hdf5":
        copy_hdf5(out, path=user_path(str(params.path)), sha256=params.sha256, unlabelled_value=params.unlabelled_value)
    elif params.source == "cutouts":
        left_out = import_cutouts(
            out,
            path=user_path(str(params.path)),
            params=params,
            root=main_repository(),
            num_threads=runtime.count_workers(),
        )
    elif params.source == "parquet":
        import_parquet(
            out,
            path=user_path(str(params.path)),
            image=params.columns,
            sha256=params.sha256,
            unlabelled_value=params.unlabelled_value,
        )
    elif params.source == "embeddings":
        left_out = import_embeddings(
            out,
            path=user_path(str(params.path)),
            columns=params.columns,
            sha256=params.sha256,
            on_error=params.on_error,
        )
    else:
        path = user_path(str(params.path))
        left_out = import_images(out, path=path, params=params, num_threads=runtime.count_workers())
    write_left_out(Path("data/left_out.csv"), left_out)


if __name__ == "__main__":
    run_stage(main)
