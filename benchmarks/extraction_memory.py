"""Peak memory of extraction: it must not depend on the number of galaxies, and stay small for large maps.

    python -m benchmarks.extraction_memory
    python -m benchmarks.extraction_memory --maps-galaxies 1024

First many small images (32 px, `layer1` of a ResNet-18, pooled): 1,000 against 20,000. Then `layer2` maps of a ResNet-50 at
224 px. Each run has a process of its own, in which torch and the network are in memory too.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.measuring import extract_params, make_parser, open_images, peak_bytes, run_apart, run_extraction, write_noise
from galaxies.backbones.backbone import load_backbone
from galaxies.backbones.spec import ExtractParams
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.runtime import RuntimeParams

SMALL = extract_params(backbone="resnet18", layers=("layer1",), image_size=32)
MAPS = extract_params(backbone="resnet50", layers=("layer2",), pool="map", image_size=224)


def main() -> None:
    """Print the table, or, with ``--num-galaxies``, run one extraction and print its peak memory as JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--maps-galaxies", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--forward", choices=("torch", "onnxruntime"), default="onnxruntime", help="what runs the network")
    parser.add_argument("--num-galaxies", type=int, help="used by the benchmark itself")
    parser.add_argument("--maps", action="store_true", help="used by the benchmark itself")
    arguments = parser.parse_args()
    if arguments.num_galaxies:
        params = MAPS if arguments.maps else SMALL
        runtime = RuntimeParams("cpu", arguments.forward, arguments.batch_size)
        print(json.dumps({"peak": measure_peak(params, arguments.num_galaxies, runtime)}))
        return

    def peak(num_galaxies: int, *flags: str) -> int:
        options = ("--num-galaxies", num_galaxies, "--batch-size", arguments.batch_size, "--forward", arguments.forward, *flags)
        return int(run_apart("benchmarks.extraction_memory", *options)["peak"])

    few, many, maps = peak(arguments.few), peak(arguments.many), peak(arguments.maps_galaxies, "--maps")
    growth = (many - few) / (arguments.many - arguments.few)
    print(f"{arguments.few} small images      {few / 1e6:8.0f} MB")
    print(f"{arguments.many} small images     {many / 1e6:8.0f} MB   {growth:.0f} bytes more an image (at most 1024)")
    print(f"{arguments.maps_galaxies} ResNet-50 layer2 maps {maps / 1e6:8.0f} MB   (at most 1500 MB)")


def measure_peak(params: ExtractParams, num_galaxies: int, runtime: RuntimeParams) -> int:
    """Return the peak resident memory of this process, in bytes, after extracting galaxies of noise."""
    assert params.image_size is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(folder / "galaxies.h5", num_galaxies, params.image_size)
        with GalaxyFile(folder / "galaxies.h5") as galaxies:
            images, backbone = open_images(galaxies), load_backbone(params.spec, layers=params.layers)
            run_extraction(folder, images, backbone, params, runtime=runtime)
    return peak_bytes()


if __name__ == "__main__":
    main()
