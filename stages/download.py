"""Make data/galaxies.h5, labelled galaxies in the Galaxy10 schema, from the source that params.yaml names."""

from galaxies.paths import GALAXIES
from galaxies.runtime import RuntimeParams
from galaxies.sources.sources import DownloadParams, copy_hdf5, fetch_galaxy10, import_images, simulate
from stages import main_repository, read_params, run_stage, user_path


def main() -> None:
    """Write the out from one of the four sources."""
    params, runtime = read_params("download", DownloadParams), read_params("runtime", RuntimeParams)
    out = GALAXIES
    if params.source == "simulated":
        simulate(
            out,
            num_galaxies=params.num_galaxies,
            image_size=params.image_size,
            seed=params.seed,
            num_workers=runtime.count_workers(),
        )
    elif params.source == "galaxy10_decals":
        fetch_galaxy10(out, url=params.url, sha256=params.sha256, root=main_repository())
    elif params.source == "hdf5":
        copy_hdf5(out, path=user_path(str(params.path)), sha256=params.sha256)
    else:
        import_images(out, path=user_path(str(params.path)), sha256=params.sha256)


if __name__ == "__main__":
    run_stage(main)
