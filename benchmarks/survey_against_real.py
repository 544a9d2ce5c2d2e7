"""The simulated survey beside real galaxies: a contact sheet to look at and two-sample tests to believe.

    python -m benchmarks.survey_against_real REAL.h5 --out sheet.png

REAL.h5 holds real galaxies in the Galaxy10 schema. As many galaxies of each of its classes are simulated as are asked for, a
multiple of the real ones, so that both sides have the same class shares.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from galaxies.data.appearance import compare_measurements, measure_images
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.simulation.survey import draw_galaxy

_COLUMNS = 5  # galaxies of a class on the sheet, real and simulated each
_GAP = 12


def main() -> None:
    """Print the table and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="real galaxies in the Galaxy10 schema")
    parser.add_argument("--out", type=Path, default=Path("survey_against_real.png"), help="the contact sheet")
    parser.add_argument("--factor", type=int, default=4, help="simulated galaxies for each real one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--thumbnail", type=int, default=112, help="px of a galaxy on the sheet")
    arguments = parser.parse_args()
    with GalaxyFile(arguments.real) as file:
        real, labels, names = file.read_images(np.arange(file.num_galaxies)), file.labels, file.class_names
    started = time.process_time()
    simulated = simulate_like(labels, arguments.factor, real.shape[1], arguments.seed)
    rate = len(simulated) / (time.process_time() - started)
    table = compare_measurements(measure_images(real), measure_images(simulated))
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    print(f"\n{len(real)} real, {len(simulated)} simulated at {rate:.1f} galaxies/s a core of {real.shape[1]} px")
    draw_sheet(real, simulated, labels, names, arguments.thumbnail, arguments.factor).save(arguments.out)
    print(f"contact sheet: {arguments.out}")


def simulate_like(labels: NDArray[np.integer[Any]], factor: int, image_size: int, seed: int) -> NDArray[np.uint8]:
    """Draw ``factor`` galaxies of the class of each of ``labels`` (N,): (N * factor, S, S, 3)."""
    tasks = [(int(label), copy, row) for row, label in enumerate(labels) for copy in range(factor)]
    return np.stack(
        [
            draw_galaxy(label, image_size, np.random.default_rng([seed, row, copy]))[0]
            for label, copy, row in tqdm(tasks, desc="simulate", unit="galaxy")
        ]
    )


def draw_sheet(
    real: NDArray[np.uint8],
    simulated: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    names: tuple[str, ...],
    thumbnail: int,
    factor: int,
) -> Image.Image:
    """Return a sheet with a row a class: real galaxies on the left, simulated ones on the right."""
    classes = np.unique(labels)
    half = _COLUMNS * thumbnail
    sheet = Image.new("RGB", (2 * half + _GAP, len(classes) * (thumbnail + _GAP) + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for position, label in enumerate(classes):
        top = _GAP + position * (thumbnail + _GAP)
        pen.text((2, top - _GAP), f"{names[label]}: real", "black")
        pen.text((half + _GAP, top - _GAP), "simulated", "black")
        sides = (real[labels == label], simulated[np.repeat(labels == label, factor)])
        for side, images in enumerate(sides):
            for column, image in enumerate(images[:_COLUMNS]):
                small = Image.fromarray(image).resize((thumbnail, thumbnail), Image.Resampling.LANCZOS)
                sheet.paste(small, (side * (half + _GAP) + column * thumbnail, top))
    return sheet


if __name__ == "__main__":
    main()
