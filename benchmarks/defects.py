"""What two defects of the older project cost: they are put back, one by one, before the same backbone and the same head.

    python -m benchmarks.defects real/efigi.h5 mobilenet_v2 weights/mobilenet_v2_imagenet.pth features.18

- BatchNorm in training mode: each batch is normalised by its own mean and deviation, and a file sorted by class gives batches
  of one class, so what tells the classes apart is taken out.
- No normalisation: the images are on the scale 0 to 1, not on that of the weights.

Galaxies are read in order of class, as the real file has them. The head is a logistic regression (C = 0.01) on standardised
features, in five stratified splits of 80 and 20 %; the same splits for each row.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import trange

from benchmarks.measuring import make_parser
from benchmarks.precision import accuracy
from galaxies.backbones.backbone import Backbone, cut, load_backbone
from galaxies.backbones.spec import BackboneSpec
from galaxies.backbones.transform import prepare
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.files import file_sha256

_HALF = (0.5, 0.5, 0.5)
_DEFECTS = {
    "none": (False, True),
    "no normalisation": (False, False),
    "BatchNorm trains": (True, True),
    "both": (True, False),
}
"""Whether BatchNorm is in training mode, and whether images are normalised."""


def main() -> None:
    """Print a row for each combination of the defects."""
    parser = make_parser(__doc__)
    parser.add_argument("galaxies", type=Path, help="in the Galaxy10 schema")
    parser.add_argument("backbone")
    parser.add_argument("weights", help="a state dict whose images were scaled to [-1, 1]")
    parser.add_argument("layer", help="gives maps (B, C, H, W)")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--num-galaxies", type=int, default=1 << 30, help="use so many, evenly spread over the file")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    where = f"{options.galaxies.name} at {options.image_size} px, batches of {options.batch_size}"
    print(f"{options.backbone} {options.layer}, {where}")
    print("defects           accuracy")
    with GalaxyFile(options.galaxies) as galaxies:
        num_galaxies = min(options.num_galaxies, galaxies.num_galaxies)
        indices = np.linspace(0, galaxies.num_galaxies - 1, num_galaxies).astype(np.int64)
        indices = indices[np.argsort(galaxies.labels[indices], kind="stable")]
        labels = galaxies.labels[indices]
        for name, (trains, normalises) in _DEFECTS.items():
            # Loaded anew: training mode moves the running statistics.
            backbone = load_backbone(
                BackboneSpec(
                    options.backbone,
                    weights=options.weights,
                    weights_sha256=file_sha256(Path(options.weights)),
                    image_size=options.image_size,
                    mean=_HALF if normalises else (0.0, 0.0, 0.0),
                    std=_HALF if normalises else (1.0, 1.0, 1.0),
                ),
                layers=[options.layer],
            )
            features = extract(backbone, options.layer, galaxies, indices, trains=trains, batch_size=options.batch_size)
            scores = accuracy(features, features, labels)
            print(f"{name:<16}  {scores.mean():.3f} ± {scores.std():.3f}", flush=True)
        print(f"{'(majority class)':<16}  {np.bincount(labels).max() / len(labels):.3f}")


@torch.inference_mode()
def extract(
    backbone: Backbone, layer: str, galaxies: GalaxyFile, indices: NDArray[np.int64], *, trains: bool, batch_size: int
) -> NDArray[np.float32]:
    """Return the pooled features (N, C) of galaxies in the order of ``indices``."""
    prefix = cut(backbone.module, [layer]).train(trains)
    features = []
    for start in trange(0, len(indices), batch_size, unit="batch"):
        batch = indices[start : start + batch_size]
        ascending = np.argsort(batch)
        images = torch.from_numpy(galaxies.read_images(batch[ascending])[np.argsort(ascending)])
        pixels = prepare(images.permute(0, 3, 1, 2), backbone.transform).contiguous(memory_format=torch.channels_last)
        features.append(prefix(pixels)[layer].mean((2, 3)))
    return torch.cat(features).numpy()


if __name__ == "__main__":
    main()
