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

from galaxies.data.catalog import Catalog, CatalogRows, image_sha256
from galaxies.data.field_of_view import FieldOfView, read_field
from galaxies.data.galaxy_writer import GalaxyBlock, write_galaxies
from galaxies.data.sky import neighbour_pairs
from galaxies.data.splits import REASONS, SPLIT_NAMES, UNLABELLED, Splits, read_splits
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


def write_labels(folder: Path, **labels: str) -> dict[str, str]:
    """Write a table of labels by the galaxies' numbers, and return the parameters that name it."""
    path = folder / "mine" / "labels.csv"
    path.parent.mkdir(exist_ok=True)
    rows = [f"{int(number.removeprefix('g')):06d},{label}\n" for number, label in labels.items()]
    path.write_text("id,label\n" + "".join(rows))
    return {"labels": "mine/labels.csv", "labels_sha256": file_sha256(path)}


def read_tables() -> tuple[CatalogRows, Splits]:
    catalog = Catalog(Path("data/catalog.parquet"))
    return catalog.read(0, len(catalog)), read_splits(Path("data/splits.parquet"), catalog)


def test_a_changed_label_changes_the_splits_alone_and_no_split(folder: Path) -> None:
    run()
    _, before = read_tables()
    files = {name: Path("data", name).read_bytes() for name in ("catalog.parquet", "checksums.parquet", "field_of_view.json")}
    first, second = before.rows("train")[:2].tolist()  # No galaxy is left out before the tenth.
    params = write_labels(folder, **{f"g{first}": "c", f"g{second}": "d"})
    with pytest.raises(InputError, match=rf"split\.labels_sha256={params['labels_sha256']}"):
        run(labels=params["labels"])
    run(**params)
    assert {name: Path("data", name).read_bytes() for name in files} == files
    _, after = read_tables()
    assert after.label[[first, second]].tolist() == [2, 3]
    others = np.setdiff1d(np.arange(len(after)), [first, second])
    assert after.label[others].tolist() == before.label[others].tolist()
    assert after.names[3] == "d"
    assert after.split.tolist() == before.split.tolist()


def forget_labels(*, keep_every: int = 3) -> None:
    """Take the labels of most galaxies out of galaxies.h5."""
    with h5py.File("data/galaxies.h5", "r+") as file:
        labels = np.where(np.arange(NUM_GALAXIES) % keep_every == 0, LABELS.astype(np.int16), UNLABELLED)
        del file["ans"]
        file["ans"] = labels
        file.attrs["unlabelled_value"] = UNLABELLED


def test_the_size_of_the_pool_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    forget_labels()
    with caplog.at_level("INFO", logger="galaxies"):
        run()
    report = json.loads(Path("metrics/data.json").read_text())
    assert f"{report['pool']} of {report['used']} galaxies have no label: they form the pool" in caplog.text
    assert report["pool"] == report["used"] - report["train"] - report["val"] - report["test"] > 100


def test_added_labels_cost_no_extraction_and_move_no_galaxy(folder: Path) -> None:
    """The bytes of the catalog, which extraction depends on, and the test rows are those before; the last row is among them."""
    forget_labels()
    run()
    files = {name: Path("data", name).read_bytes() for name in ("catalog.parquet", "checksums.parquet", "field_of_view.json")}
    listed, before = read_tables()
    added = [number for number in range(NUM_GALAXIES) if number % 3 and number % 4 and number != 121]
    assert added[-1] == NUM_GALAXIES - 1
    run(**write_labels(folder, **{f"g{number}": "abc"[LABELS[number]] for number in added}))
    assert {name: Path("data", name).read_bytes() for name in files} == files
    _, after = read_tables()
    for name in ("train", "val", "test"):
        assert set(before.rows(name)) <= set(after.rows(name))
    for name in ("val", "test"):
        assert after.rows(name).tolist() == before.rows(name).tolist()
    gained = after.split[np.isin(listed.galaxy, added)]
    assert set(gained.tolist()) == {SPLIT_NAMES.index("train"), SPLIT_NAMES.index("pool")}
    assert after.split[-1] == SPLIT_NAMES.index("train")
    stays = (after.split == SPLIT_NAMES.index("pool")) & (after.label != UNLABELLED)
    held_out = after.group[np.concatenate([after.rows("val"), after.rows("test")])]
    assert stays.any()
    assert np.isin(after.group[stays], held_out).all()
    assert {REASONS[number] for number in after.reason[stays]} == {"near a val galaxy", "near a test galaxy"}
    assert not after.reason[~stays].any()
    assert (after.near[stays] > 0).all()


def test_a_label_that_contradicts_a_twin_takes_both_out(folder: Path) -> None:
    run()
    listed, before = read_tables()
    twins = np.isin(listed.galaxy, [70, 71])
    assert (before.split[twins] < 3).all()
    run(**write_labels(folder, g70="c"))
    _, after = read_tables()
    assert after.split[twins].tolist() == [SPLIT_NAMES.index("unused")] * 2
    assert {REASONS[number] for number in after.reason[twins]} == {"twin has another label"}
    assert after.split[~twins].tolist() == before.split[~twins].tolist()
    assert json.loads(Path("metrics/data.json").read_text())["unused"] == 2
    run(**write_labels(folder, g70="c"), conflicts="keep")
    listed, kept = read_tables()
    assert (kept.split[np.isin(listed.galaxy, [70, 71])] < 3).all()


def test_a_survey_without_labels_is_split_and_its_first_labels_are_divided(folder: Path) -> None:
    with h5py.File("data/galaxies.h5", "r+") as file:
        del file["ans"], file.attrs["class_names"]
    run()
    catalog = Path("data/catalog.parquet").read_bytes()
    listed, splits = read_tables()
    assert splits.rows("pool").tolist() == list(range(len(listed)))
    labels = {f"g{number}": "xyz"[LABELS[number]] for number in range(NUM_GALAXIES)}
    run(**write_labels(folder, **dict(list(labels.items())[::2])))
    assert Path("data/catalog.parquet").read_bytes() == catalog
    _, some = read_tables()
    assert some.classes == ("x", "y", "z")
    run(**write_labels(folder, **labels))
    _, more = read_tables()
    # Who had a split keeps it, whatever labels come; but contradictory twins have none any more.
    assert np.isin(listed.galaxy, [40, 121])[more.rows("unused")].tolist() == [True, True]
    stay = np.setdiff1d(some.labelled, more.rows("unused"))
    assert len(stay) == len(some.labelled) - 1
    assert more.split[stay].tolist() == some.split[stay].tolist()
    shares = np.bincount(more.split, minlength=3)[:3] / len(more)
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.08)
    owners = pd.Series(more.split[more.labelled]).groupby(more.group[more.labelled]).nunique()
    assert owners.max() == 1


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
