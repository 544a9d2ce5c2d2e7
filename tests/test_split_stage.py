"""The stage `split` on a file of its own: what it writes, and that no piece of sky stands in two splits."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML

from galaxies.data.catalog import Catalog, image_sha256
from galaxies.data.field_of_view import FieldOfView, read_field
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.data.sky import neighbour_pairs
from galaxies.data.splits import read_splits
from galaxies.data.target_file import TargetFile
from galaxies.errors import InputError
from galaxies.files import file_sha256
from stages import split
from tests.pipelines import REPOSITORY
from tests.toys import toy_images

NUM_GALAXIES = 240
IMAGES = toy_images(NUM_GALAXIES, size=4)
IMAGES[10] = 0  # blank
IMAGES[71] = IMAGES[70]  # twins with one label
IMAGES[121] = IMAGES[40]  # twins with two
LABELS = (np.arange(NUM_GALAXIES) // 80).astype(np.uint8)  # Sorted by class, as the real file is.
# Every fifth galaxy has a neighbour 30 arcsec away.
RA: NDArray[np.float64] = np.arange(NUM_GALAXIES, dtype=np.float64) * 0.5
RA[1::5] = RA[::5] + 30 / 3600
PXSCALE = np.linspace(0.262, 0.524, NUM_GALAXIES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository's folder with galaxies.h5 in it the present one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    unknown = np.full(NUM_GALAXIES, np.nan)
    block = GalaxyBlock(IMAGES, LABELS, RA, np.zeros(NUM_GALAXIES), unknown, PXSCALE)
    path = Path("data/galaxies.h5")
    write_galaxies(path, [block], num_galaxies=NUM_GALAXIES, image_size=4, class_names=["a", "b", "c"])
    return tmp_path


def run(**changes: Any) -> None:
    yaml = YAML()
    params = yaml.load(REPOSITORY / "params.yaml")
    params["split"].update(changes)
    with Path("params.yaml").open("w") as file:
        yaml.dump(params, file)
    split.main()


@pytest.mark.parametrize("sample_fraction", [1.0, 0.4])
def test_train_val_and_test_share_no_galaxy_and_no_piece_of_sky(folder: Path, sample_fraction: float) -> None:
    """With a sub-sample, the older project drew another split to evaluate: its test set contained training images."""
    run(sample_fraction=sample_fraction)
    catalog = Catalog(Path("data/catalog.parquet"))
    splits = read_splits(Path("data/splits.parquet"), catalog)
    rows = {name: splits.rows(name) for name in ("train", "val", "test")}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(catalog)))
    if sample_fraction < 1:
        assert len(catalog) == pytest.approx(sample_fraction * NUM_GALAXIES, rel=0.1)
    listed = catalog.read(0, len(catalog))
    ra = RA[listed.galaxy]
    pairs = neighbour_pairs(ra, np.zeros(len(ra)), 67)
    assert len(pairs) > 10
    assert (splits.split[pairs[:, 0]] == splits.split[pairs[:, 1]]).all()
    owners = pd.Series(splits.split).groupby([digest.tobytes() for digest in listed.image_sha256]).nunique()
    assert owners.max() == 1


def test_row_i_is_one_galaxy_in_every_table(folder: Path) -> None:
    run()
    catalog = Catalog(Path("data/catalog.parquet"))
    splits = read_splits(Path("data/splits.parquet"), catalog)
    listed = catalog.read(0, len(catalog))
    assert [digest.tobytes() for digest in listed.image_sha256] == [image_sha256(IMAGES[galaxy]) for galaxy in listed.galaxy]
    assert splits.label.tolist() == LABELS[listed.galaxy].tolist()
    assert splits.names == {0: "a", 1: "b", 2: "c"}
    assert listed.ids.to_pylist() == [f"{galaxy:06d}" for galaxy in listed.galaxy]


def test_the_field_of_view_is_that_of_all_rows_whatever_their_split(folder: Path) -> None:
    """Of the train rows alone, another seed would crop the images of prediction to another piece of sky."""
    run()
    catalog = Catalog(Path("data/catalog.parquet"))
    first = read_field(Path("data/field_of_view.json"))
    used = PXSCALE[catalog.take(np.arange(len(catalog))).galaxy]
    assert (first.image_size, first.is_framed) == (4, False)
    assert (first.pxscale, first.finest, first.coarsest) == pytest.approx((np.median(used), used.min(), used.max()))
    run(seed=1)
    assert read_field(Path("data/field_of_view.json")) == first


def test_the_field_of_framed_images_is_that_to_which_they_were_brought(folder: Path) -> None:
    """To the last bit: prediction brings its images to it, and a train row need not have a known scale."""
    pxscale = 20.1 / 7
    with h5py.File("data/galaxies.h5", "r+") as file:
        file.attrs["framed_pxscale"] = pxscale
        file["pxscale"][:] = np.nan
    run()
    assert read_field(Path("data/field_of_view.json")) == FieldOfView(4, pxscale, pxscale, pxscale, is_framed=True)


def test_the_report_counts_what_the_policies_did(folder: Path) -> None:
    run()
    report = json.loads(Path("metrics/data.json").read_text())
    assert (report["galaxies"], report["blank"], report["conflicting"]) == (NUM_GALAXIES, 1, 2)
    assert report["used"] == NUM_GALAXIES - 3
    counts = pd.read_csv("metrics/data_classes.csv")
    assert counts["count"].sum() == report["used"]
    assert set(counts["class_name"]) == {"a", "b", "c"}


def test_a_corrected_label_changes_the_splits_and_costs_no_extraction(folder: Path) -> None:
    run()
    before = Path("data/catalog.parquet").read_bytes()
    corrections = folder / "mine" / "corrections.csv"
    corrections.parent.mkdir()
    corrections.write_text("id,label\n000000,c\n")
    with pytest.raises(InputError, match=rf"split\.corrections_sha256={file_sha256(corrections)}"):
        run(corrections="mine/corrections.csv")
    run(corrections="mine/corrections.csv", corrections_sha256=file_sha256(corrections))
    assert Path("data/catalog.parquet").read_bytes() == before
    splits = read_splits(Path("data/splits.parquet"), Catalog(Path("data/catalog.parquet")))
    assert splits.label[:2].tolist() == [2, 0]


def test_a_new_seed_changes_the_splits_and_costs_no_extraction(folder: Path) -> None:
    run()
    before = {name: Path("data", name).read_bytes() for name in ("catalog.parquet", "splits.parquet")}
    run(seed=1)
    assert Path("data/catalog.parquet").read_bytes() == before["catalog.parquet"]
    assert Path("data/splits.parquet").read_bytes() != before["splits.parquet"]


def test_a_seed_that_comes_back_brings_the_same_bytes(folder: Path) -> None:
    run(seed=1)
    first = Path("data/splits.parquet").read_bytes()
    run(seed=0)
    run(seed=1)
    assert Path("data/splits.parquet").read_bytes() == first


def test_a_table_of_targets_changes_the_splits_and_never_the_catalog(folder: Path) -> None:
    run()
    before = {path.name: file_sha256(path) for path in Path("data").glob("*.parquet")}
    assert not TargetFile(Path("data/targets.parquet"), 0).names  # Its header only.
    table = pd.DataFrame({"id": [f"{galaxy:06d}" for galaxy in range(NUM_GALAXIES)], "z": np.linspace(0, 1, NUM_GALAXIES)})
    table.iloc[::-2].to_csv("votes.csv", index=False)
    run(targets="votes.csv", targets_sha256=file_sha256(Path("votes.csv")))
    after = {path.name: file_sha256(path) for path in Path("data").glob("*.parquet")}
    assert {name for name in after if after[name] != before[name]} == {"targets.parquet"}
    catalog = Catalog(Path("data/catalog.parquet"))
    ((rows, columns),) = TargetFile(Path("data/targets.parquet"), len(catalog)).groups(["z"])
    galaxy = catalog.read(0, len(catalog)).galaxy
    np.testing.assert_allclose(columns["z"], np.where(galaxy % 2 == 1, galaxy / (NUM_GALAXIES - 1), np.nan))
    assert (rows, json.loads(Path("metrics/data.json").read_text())["with_targets"]) == (
        slice(0, len(catalog)),
        np.isfinite(columns["z"]).sum(),
    )
    with pytest.raises(InputError, match=r"split\.targets_sha256"):
        run(targets="votes.csv")
