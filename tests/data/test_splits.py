"""The policies say which galaxies are used; the division keeps groups whole and classes in their shares."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from galaxies.data.census import count_classes, describe_data
from galaxies.data.division import divide, make_splits
from galaxies.data.selection import Candidates, Selection, SplitParams, select_galaxies
from galaxies.data.splits import DIVIDED, NEARNESS, SPLIT_NAMES, UNLABELLED, Splits, require_labels
from galaxies.errors import InputError
from galaxies.params import parse_section
from tests.toys import toy_splits

DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "val_fraction": 0.15,
    "test_fraction": 0.15,
    "sample_fraction": 1.0,
    "group_radius_arcsec": 67.0,
    "conflicts": "drop",
    "blanks": "drop",
    "unlabelled": "pool",
    "labels": None,
    "labels_sha256": None,
    "added_labels": None,
    "version": 1,
}


def digests_of(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Return a digest for each of some texts, (M, 32)."""
    return np.frombuffer(b"".join(hashlib.sha256(text.encode()).digest() for text in texts), np.uint8).reshape(-1, 32)


def make_candidates(labels: list[int], *, digests: str | None = None, ra: list[float] | None = None) -> Candidates:
    """Return galaxies far apart (or at the given ra) with images of the given one-letter digests; "_" is blank."""
    digests = digests or "".join(chr(ord("a") + index) for index in range(len(labels)))
    return Candidates(
        np.array(labels, np.int64),
        digests_of(digests),
        np.array([digest == "_" for digest in digests]),
        np.array(ra if ra is not None else np.arange(len(labels)), float),
        np.zeros(len(labels)),
    )


def select(labels: list[int], *, digests: str | None = None, ra: list[float] | None = None, **changes: Any) -> Selection:
    """Select among the galaxies of `make_candidates`."""
    return select_galaxies(make_candidates(labels, digests=digests, ra=ra), SplitParams(**{**DEFAULTS, **changes}))


def split_up(labels: NDArray[np.int64], names: Sequence[str], *, ra: list[float] | None = None, **changes: Any) -> Splits:
    """Return the splits of the galaxies of `make_candidates`."""
    candidates, params = make_candidates(labels.tolist(), ra=ra), SplitParams(**{**DEFAULTS, **changes})
    return make_splits(select_galaxies(candidates, params), candidates, names, params)


@pytest.mark.parametrize(("conflicts", "used"), [("drop", [0]), ("first", [0, 1]), ("keep", [0, 1, 2])])
def test_the_same_position_with_two_labels_is_a_conflict(conflicts: str, used: list[int]) -> None:
    selection = select([0, 0, 1], ra=[10, 20, 20], conflicts=conflicts)
    assert selection.used.tolist() == used
    assert selection.conflicting.tolist() == [1, 2]


def test_the_same_pixels_with_two_labels_are_a_conflict_wherever_they_stand() -> None:
    assert select([0, 0, 1], digests="abb").used.tolist() == [0]
    assert select([0, 0, 1], digests="abb", ra=[np.nan] * 3).used.tolist() == [0]


def test_the_same_galaxy_twice_with_one_label_stays_in_one_group() -> None:
    selection = select([0, 1, 1], digests="abb")
    assert selection.used.tolist() == [0, 1, 2]
    assert selection.group.tolist() == [0, 1, 1]


def test_groups_that_the_source_names_are_kept_and_join_those_of_the_sky() -> None:
    positions, group = np.array([10, 10, 50, 90, 130], float), np.array([-1, 7, 7, 3, -1])
    candidates = Candidates(np.zeros(5, int), digests_of("abcde"), np.zeros(5, bool), positions, np.zeros(5), group)
    assert select_galaxies(candidates, SplitParams(**DEFAULTS)).group.tolist() == [0, 0, 0, 1, 2]


def test_neighbours_on_the_sky_are_one_group_but_no_conflict() -> None:
    selection = select([0, 0, 1], ra=[10, 20, 20 + 30 / 3600])
    assert selection.used.tolist() == [0, 1, 2]
    assert selection.group.tolist() == [0, 1, 1]
    assert select([0, 0, 1], ra=[10, 20, 20 + 30 / 3600], group_radius_arcsec=10.0).group.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("blanks", "used"), [("drop", [0, 3]), ("keep", [0, 1, 2, 3])])
def test_blank_images_are_dropped_and_are_not_one_galaxy(blanks: str, used: list[int]) -> None:
    selection = select([0, 0, 1, 1], digests="a__b", blanks=blanks)
    assert selection.used.tolist() == used
    assert selection.blank.tolist() == [1, 2]
    assert selection.conflicting.tolist() == []


def test_a_sub_sample_keeps_shares_groups_and_is_part_of_a_larger_one() -> None:
    labels = [0] * 300 + [1] * 100
    digests = "".join(chr(1000 + index) for index in range(400))
    ra = np.arange(400.0) * 0.5
    ra[1::10] = ra[::10]  # Every tenth galaxy has a twin at its own place.
    small, large = (select(labels, digests=digests, ra=list(ra), sample_fraction=f, conflicts="keep") for f in (0.1, 0.4))
    assert set(small.used) < set(large.used)
    for selection, fraction in ((small, 0.1), (large, 0.4)):
        counts = np.bincount(np.array(labels)[selection.used])
        np.testing.assert_allclose(counts, [300 * fraction, 100 * fraction], rtol=0.2)
        left_out = np.setdiff1d(np.arange(400), selection.used)
        assert not set(selection.group[selection.used]) & set(selection.group[left_out])


def divided(
    labels: NDArray[np.int64], group: NDArray[np.int64] | None = None, *, seed: int = 0, val: float = 0.15, test: float = 0.15
) -> NDArray[np.str_]:
    group = np.arange(len(labels)) if group is None else group
    names = [f"class {label}" for label in range(int(labels.max()) + 1)]
    split = divide(labels, group, names, val_fraction=val, test_fraction=test, generator=np.random.default_rng(seed))
    return np.array(SPLIT_NAMES)[split]


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.1, 0.2), (0.5, 0.25), (0.01, 0.01)])
def test_every_class_keeps_its_shares_to_one_galaxy(val: float, test: float) -> None:
    labels = np.repeat(np.arange(4), [1000, 100, 10, 3])
    split = divided(labels, val=val, test=test)
    for label, count in enumerate([1000, 100, 10, 3]):
        for name, fraction in (("val", val), ("test", test)):
            number = int((split[labels == label] == name).sum())
            assert number >= 1
            assert abs(number - count * fraction) <= 1


def test_groups_never_straddle_splits() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 500)
    group = generator.integers(0, 150, 500)
    split = divided(labels, group)
    assert max(len(set(split[group == index])) for index in np.unique(group)) == 1
    for label in range(3):
        shares = [(split[labels == label] == name).mean() for name in DIVIDED]
        np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.05)


def test_a_giant_group_goes_where_there_is_room() -> None:
    labels = np.zeros(100, np.int64)
    group = np.concatenate([np.zeros(60, np.int64), np.arange(1, 41)])
    split = divided(labels, group)
    assert set(split[:60]) == {"train"}
    assert sorted((split == name).sum() for name in ("val", "test")) == [15, 15]


def test_a_class_with_too_few_places_on_the_sky_is_named() -> None:
    labels, group = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 4])
    with pytest.raises(InputError, match=r"class 1 \(2\); each class needs three"):
        divided(labels, group)


def test_the_division_follows_the_seed() -> None:
    labels = np.repeat(np.arange(2), 50)
    assert (divided(labels, seed=1) == divided(labels, seed=1)).all()
    assert (divided(labels, seed=1) != divided(labels, seed=2)).any()
    # Golden: a change of these numbers must come with a new split.version.
    assert np.flatnonzero(divided(labels) == "test")[:6].tolist() == GOLDEN_TEST_ROWS


GOLDEN_TEST_ROWS = [7, 11, 15, 23, 24, 37]


def test_a_new_seed_changes_the_splits_and_not_the_catalog() -> None:
    labels = np.repeat(np.arange(2), 30)
    selection = select(labels.tolist(), sample_fraction=0.5)
    first, second = (split_up(labels, ["a", "b"], sample_fraction=0.5, seed=seed) for seed in (0, 1))
    assert first.label.tolist() == second.label.tolist() == labels[selection.used].tolist()
    assert (first.split != second.split).any()


def test_no_galaxy_left_is_an_error() -> None:
    with pytest.raises(InputError, match="leave no galaxy"):
        select([0, 1], ra=[10, 10])


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    problems = list(SplitParams(**{**DEFAULTS, "val_fraction": 0.5, "test_fraction": 0.5}).problems())
    assert problems == ["val_fraction: 0.5 and test_fraction: 0.5 leave nothing to train on"]


def test_a_parameter_that_went_names_the_one_that_took_its_place() -> None:
    with pytest.raises(InputError, match=r"(?s)split\.corrections: .*split\.labels.*split\.labels_sha256"):
        parse_section(SplitParams, {"corrections": "fixes.csv", "corrections_sha256": "any"}, "split")


def test_a_digest_of_no_table_is_refused() -> None:
    with pytest.raises(InputError, match="labels_sha256: found any, but labels names no table"):
        parse_section(SplitParams, {"labels_sha256": "any"}, "split")


def test_the_report_counts_what_was_found() -> None:
    selection = select([0, 0, 0, 0, 1, 1, 1, 1], digests="ab_cdeff", ra=[1, 2, 3, 1, 5, 6, 7, 8], conflicts="keep")
    splits = toy_splits(
        np.array([0, 0, 0, 1, 1, 1, 1]),
        ["train", "val", "train", "train", "val", "test", "test"],
        group=np.array([0, 1, 0, 2, 3, 4, 4]),
        names=["a", "b"],
    )
    redshift = np.array([np.nan, *[0.1] * 7])
    report = describe_data(selection, splits, redshift=redshift, ra=np.zeros(8))
    assert report["galaxies"] == 8
    assert report["used"] == 7
    assert report["blank"] == 1
    assert report["no_redshift"] == 1
    assert (report["groups_of_several"], report["galaxies_in_them"], report["largest_group"]) == (2, 4, 2)
    assert (report["train"], report["val"], report["test"]) == (3, 2, 2)
    assert count_classes(splits).splitlines()[:4] == ["class_name,split,count", "a,train,2", "a,val,1", "a,test,0"]


def test_a_twin_without_a_label_contradicts_nobody() -> None:
    selection = select([0, -1, 1, 0, -1, 0], digests="aabccc")
    assert selection.conflicting.tolist() == []
    assert selection.used.tolist() == [0, 1, 2, 3, 4, 5]
    # Of contradictory twins it is the galaxy all the same, and stays in the pool.
    assert select([0, -1, 1, 0], digests="aaab").used.tolist() == [1, 3]


def test_a_pool_galaxy_says_what_it_is_to_a_labelled_one() -> None:
    labels = np.array([0] * 4 + [-1] * 4)
    ra = [10, 20, 30, 40, 10, 20 + 30 / 3600, 50, 50]  # The last two are twins of each other alone.
    splits = split_up(labels, ["a"], ra=ra)
    assert [NEARNESS[number] for number in splits.near] == ["", "", "", "", "twin", "neighbour", "", ""]
    assert splits.group[4] == splits.group[0]


def test_a_survey_without_any_label_is_all_pool() -> None:
    labels = np.full(5, UNLABELLED)
    splits = split_up(labels, [])
    assert splits.rows("pool").tolist() == [0, 1, 2, 3, 4]
    assert splits.classes == ()


def test_galaxies_without_a_label_are_refused_where_that_is_asked_for() -> None:
    labels = np.array([0, 0, 0, -1])
    with pytest.raises(InputError, match=r"1 of 4 galaxies have no label, .*`-S split\.unlabelled=pool`"):
        split_up(labels, ["a"], unlabelled="refuse")


def test_nothing_to_train_on_says_what_works_without() -> None:
    with pytest.raises(InputError, match=r"None of the 2 galaxies has a label.*split\.labels=labels\.csv.*galaxies similar"):
        require_labels(toy_splits(np.full(2, UNLABELLED), ["pool"] * 2))


def test_galaxies_without_a_label_form_the_pool_and_change_no_other_split() -> None:
    labels = np.repeat(np.arange(2), 30)
    alone = split_up(labels, ["a", "b"])
    mixed = np.insert(labels, np.arange(0, 60, 2), UNLABELLED)
    splits = split_up(mixed, ["a", "b"])
    assert splits.split[splits.label != UNLABELLED].tolist() == alone.split.tolist()
    assert splits.rows("pool").tolist() == np.flatnonzero(mixed == UNLABELLED).tolist()
    assert splits.classes == ("a", "b")


def test_the_report_counts_the_pool_and_what_has_no_label() -> None:
    selection = select([0, 0, 0, -1, -1, 1])
    splits = toy_splits(np.array([0, 0, 0, -1, -1, 1]), ["train", "val", "test", "pool", "pool", "pool"], names=["a", "b"])
    report = describe_data(selection, splits, redshift=np.zeros(6), ra=np.zeros(6))
    assert (report["pool"], report["unused"], report["classes"], report["smallest_class"]) == (2 + 1, 0, 1, 3)
    assert count_classes(splits).splitlines()[1:] == ["a,train,1", "a,val,1", "a,test,1", "no label,pool,3"]


def test_a_survey_without_labels_is_reported() -> None:
    splits = toy_splits(np.full(3, UNLABELLED), ["pool"] * 3)
    report = describe_data(select([-1] * 3), splits, redshift=np.zeros(3), ra=np.zeros(3))
    assert (report["pool"], report["classes"], report["smallest_class"], report["train"]) == (3, 0, 0, 0)
    assert count_classes(splits).splitlines() == ["class_name,split,count", "no label,pool,3"]


def test_the_contradictory_twins_of_galaxy10_decals_are_dropped(test_data: Path) -> None:
    """A random split of the real data has on average ten exact twins of its test galaxies in train."""
    table = pd.read_csv(test_data / "real" / "galaxy10_decals_coordinates.csv")
    labels = table["class"].to_numpy(np.int64)
    digests = digests_of(map(str, range(len(table))))
    params = SplitParams(**DEFAULTS)
    is_blank = np.zeros(len(table), bool)
    candidates = Candidates(labels, digests, is_blank, table["ra"].to_numpy(), table["dec"].to_numpy())
    selection = select_galaxies(candidates, params)
    assert len(selection.conflicting) == 118
    names = [f"class {label}" for label in range(10)]
    splits = make_splits(selection, candidates, names, params)
    assert len(splits) == 17736 - 118
    assert len(set(zip(splits.group.tolist(), splits.split.tolist(), strict=True))) == len(set(splits.group.tolist()))
    shares = pd.crosstab(splits.label, splits.split, normalize="index")
    np.testing.assert_allclose(shares[SPLIT_NAMES.index("test")], 0.15, atol=0.001)
