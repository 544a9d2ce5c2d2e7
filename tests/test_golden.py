"""The first numbers of every stage that makes data: they may only change together with the stage's version.

DVC does not know the code of `download`, `split` and `extract` (a new comment must not cost an extraction), but the parameter
`<stage>.version`. Whoever changes what such a stage computes raises it in params.yaml and enters the new numbers here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from galaxies.data.catalog import digest_images, image_sha256
from galaxies.data.division import make_splits
from galaxies.data.selection import Candidates, SplitParams, select_galaxies
from galaxies.features.store import Store
from galaxies.simulation.survey import simulate_survey
from tests.pipelines import REPOSITORY
from tests.toys import run_extract, toy_images

GOLDEN: dict[str, dict[int, dict[str, list[Any]]]] = {
    "download": {
        1: {
            "num_in_class": [2, 4, 6, 5, 1, 5, 4, 6, 3, 4],
            "ra": [68.832195, 247.755949, 35.412543, 219.0414, 142.430623, 216.744159],
            "redshift": [0.05206, 0.082777, 0.115136, 0.058718, 0.069174, 0.12705],
            "mean_red": [38.54, 36.44, 43.58, 49.93, 40.55, 38.44, 40.72, 38.19, 40.68, 37.38, 38.94, 38.41],
            "mean_blue": [35.51, 36.06, 47.08, 44.73, 38.49, 36.64, 38.48, 34.6, 36.84, 34.07, 36.29, 34.51],
        }
    },
    "split": {
        1: {
            "galaxy": [0, 1, 2, 6, 9, 11, 13, 14, 15, 16, 17, 18, 19, 21, 22, 24, 25, 26, 27, 29],
            "group": [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
            "digest": ["add5d2836320f19f7ef906d1365922f6c934b31d77a215ab6470c961ab3d4d17"],
            "train": [2, 5, 6, 9, 10, 11, 12, 13, 14, 15, 18, 19],
            "val": [4, 7, 8, 16],
            "test": [0, 1, 3, 17],
        }
    },
    "extract": {
        2: {
            "avg": [0.43316, 0.04332, 1.01412, 1.67181, 0.38015, 0.11296, 1.17906, 1.27119],
            "map": [0.225, 0.882, 0.042, 0.0, 0.0, 0.0, 0.0, 0.392],
        }
    },
}
"""Numbers of each stage by its version."""


def require_golden(stage: str, found: dict[str, list[Any]], *, rtol: float = 0, atol: float = 0) -> None:
    """Compare what a stage computes with what it computed when its version was raised last."""
    version = YAML(typ="safe").load(REPOSITORY / "params.yaml")[stage]["version"]
    if version not in GOLDEN[stage]:
        pytest.fail(f"{stage}.version is {version}: enter its numbers in GOLDEN:\n{found}")
    for name, values in GOLDEN[stage][version].items():
        message = (
            f"\n{name}: the numbers of `{stage}` changed; raise {stage}.version in params.yaml and enter in GOLDEN\n{found}"
        )
        if isinstance(values[0], float):
            np.testing.assert_allclose(found[name], values, rtol, atol, err_msg=message)
        else:
            assert found[name] == values, message


def test_the_simulated_survey() -> None:
    blocks = list(simulate_survey(num_galaxies=40, image_size=32, seed=0, num_workers=0))
    images, labels, ra, redshift = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("images", "labels", "ra", "redshift")
    )
    # Another processor rounds differently here and there, and a photon more or less moves single pixels.
    require_golden(
        "download",
        {
            "num_in_class": np.bincount(labels).tolist(),
            "ra": [round(value, 6) for value in ra[:6].tolist()],
            "redshift": [round(value, 6) for value in np.nan_to_num(redshift[:6], nan=-1).tolist()],
            "mean_red": [round(value, 2) for value in images[:12, :, :, 0].mean(axis=(1, 2)).tolist()],
            "mean_blue": [round(value, 2) for value in images[:12, :, :, 2].mean(axis=(1, 2)).tolist()],
        },
        rtol=1e-3,
        atol=0.05,
    )


def test_the_split() -> None:
    """Thirty galaxies with twins, a neighbour, blanks and a sub-sample: every policy has a say in these numbers."""
    labels = np.arange(30) % 3
    images = toy_images(30, size=4)
    images[7] = images[8] = 0
    images[20] = images[10]
    digests = np.frombuffer(b"".join(map(image_sha256, images)), np.uint8).reshape(-1, 32)
    ra = np.arange(30.0)
    ra[15] = ra[14] + 20 / 3600
    params = SplitParams(
        seed=3,
        val_fraction=0.2,
        test_fraction=0.2,
        sample_fraction=0.8,
        group_radius_arcsec=67.0,
        conflicts="drop",
        blanks="drop",
        unlabelled="pool",
        labels=None,
        labels_sha256=None,
        added_labels=None,
        version=1,
    )
    is_blank = np.isin(np.arange(30), [7, 8])
    candidates = Candidates(labels, digests, is_blank, ra, np.zeros(30))
    selection = select_galaxies(candidates, params)
    splits = make_splits(selection, candidates, ["a", "b", "c"], params)
    require_golden(
        "split",
        {
            "galaxy": selection.used.tolist(),
            "group": splits.group.tolist(),
            **{name: splits.rows(name).tolist() for name in ("train", "val", "test")},
            "digest": [digest_images(digests[selection.used])],
        },
    )


def test_the_activations(tmp_path: Path) -> None:
    images = np.repeat(np.repeat(toy_images(2, size=8), 5, axis=1), 5, axis=2)  # Smooth enough to survive resizing.
    features = Store(run_extract(tmp_path / "avg", images, layers=("layer2",))["layer2"]).activations
    maps = Store(run_extract(tmp_path / "map", images, layers=("layer2",), pool="map")["layer2"]).activations
    require_golden(
        "extract",
        {
            "avg": [round(value, 5) for value in np.asarray(features)[:, 0, :4].ravel().tolist()],
            "map": [round(value, 3) for value in np.asarray(maps, np.float64)[1, 0, :2, 1].ravel().tolist()],
        },
        # Of the order of what other processors and versions of torch differ by in float32, twenty layers deep.
        rtol=2e-3,
        atol=2e-3,
    )
