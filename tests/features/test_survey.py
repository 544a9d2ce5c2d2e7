"""The stages open catalog, splits and store together, and refuse a store of other galaxies or settings."""

from pathlib import Path

import numpy as np
import pytest

from galaxies.backbones.spec import ExtractParams
from galaxies.data.splits import write_splits
from galaxies.errors import InputError
from galaxies.features.survey import open_survey
from galaxies.paths import CATALOG, SPLITS
from tests.toys import EXTRACT, run_extract, toy_images, toy_splits, write_toy_catalog

PARAMS = ExtractParams(**EXTRACT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make what `split` and `extract` leave of seven galaxies."""
    images = toy_images(7)
    (tmp_path / CATALOG).parent.mkdir()
    write_toy_catalog(tmp_path / CATALOG, images)
    write_splits(tmp_path / SPLITS, toy_splits(np.array([0, 1] * 3 + [0]), ["train"] * 5 + ["val", "test"]))
    run_extract(tmp_path, images)
    return tmp_path


def test_all_three_have_a_row_for_each_galaxy(folder: Path) -> None:
    survey = open_survey("layer2", PARAMS, folder=folder)
    assert len(survey.catalog) == len(survey.splits) == survey.store.activations.shape[0] == 7
    assert survey.splits.rows("test").tolist() == [6]
    assert open_survey("layer2", survey.store.identity, folder=folder).store.key == survey.store.key


def test_a_store_of_other_settings_or_galaxies_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"params\.seed: the store has 0, wanted is 1"):
        open_survey("layer2", ExtractParams(**{**EXTRACT, "seed": 1}), folder=folder)
    with pytest.raises(InputError, match=r"layer3\.zarr is not an activation store"):
        open_survey("layer3", PARAMS, folder=folder)
    write_toy_catalog(folder / CATALOG, toy_images(6))
    with pytest.raises(InputError, match="catalog: the store has"):
        open_survey("layer2", PARAMS, folder=folder)


def test_splits_are_read_only_when_they_are_asked_for(folder: Path) -> None:
    (folder / SPLITS).unlink()
    survey = open_survey("layer2", PARAMS, folder=folder)
    with pytest.raises(InputError, match=r"There is no file .*splits\.parquet; `dvc repro split` makes it"):
        _ = survey.splits
