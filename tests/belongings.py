"""The files that a user has beside the repository, under the names that the documents use, drawn small."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from astropy.io import fits
from PIL import Image
from torchvision.models import mobilenet_v2

from tests.pipelines import Pipeline


def bring_belongings(pipeline: Pipeline) -> None:
    """Write them, made from the galaxies of the pipeline's own survey, into its folder and ignore them there."""
    folder = pipeline.folder
    with h5py.File(folder / "data" / "galaxies.h5") as file:
        images, labels = file["images"][:], file["ans"][:]
    for name in ("my.h5", "efigi.h5"):
        (folder / name).write_bytes((folder / "data" / "galaxies.h5").read_bytes())
    _write_images(folder, images, labels)
    _write_bands(folder, images[:3])
    for name in ("fixes.csv", "labels.csv"):
        suspects = pd.read_csv(folder / "metrics" / "predictions.csv")
        suspects[["id", "predicted"]].head(2).set_axis(["id", "label"], axis="columns").to_csv(folder / name, index=False)
    table = pd.read_csv(folder / "metrics" / "predictions.csv").rename(columns=lambda name: name.replace(" ", "_"))
    features = table.filter(like="p_").to_numpy(np.float32)
    table[["id", "label"]].assign(features=list(features)).to_parquet(folder / "embeddings.parquet")
    torch.save(mobilenet_v2(num_classes=1001).state_dict(), folder / "mobilenet_v2_imagenet.pth")
    with (folder / ".git" / "info" / "exclude").open("a") as file:
        file.write(
            "/*.h5\n/*.csv\n/*.json\n/*.pt\n/*.pth\n/*.jpg\n/*.png\n/*.parquet\n/*.onnx\n/my_galaxies\n/new\n/cutouts\n/real\n"
        )


def _write_images(folder: Path, images: "np.typing.NDArray[np.uint8]", labels: "np.typing.NDArray[np.integer]") -> None:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        _save(folder / "my_galaxies" / f"class_{label}" / f"{index}.jpg", image)
    rows = []
    for index, image in enumerate(images[:20]):
        for name in ("new", "cutouts", "real/jpeg"):
            _save(folder / name / f"{index}.jpg", image)
        rows.append({"id": f"decals-{index}", "path": f"{index}.jpg", "label": "Merging"})
    pd.DataFrame(rows).to_csv(folder / "real" / "jpeg" / "catalog.csv", index=False)
    _save(folder / "ngc1300.jpg", images[0])


def _write_bands(folder: Path, images: "np.typing.NDArray[np.uint8]") -> None:
    """Write FITS cubes of three planes, about as bright in nanomaggies as the images look."""
    for index, image in enumerate(images):
        planes = np.moveaxis(image[..., ::-1].astype(np.float32) / 2000, -1, 0)
        header = fits.Header({"BANDS": "grz", "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600})
        fits.writeto(folder / "cutouts" / f"{index}.fits", planes, header)


def _save(path: Path, image: "np.typing.NDArray[np.uint8]") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)
