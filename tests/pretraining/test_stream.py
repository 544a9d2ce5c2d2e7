"""The pretraining stream: seeded, endless, apart from the simulated survey, and described by what it draws."""

from pathlib import Path

import numpy as np
import pytest

from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.errors import InputError
from galaxies.simulation import survey
from pretraining.shards import read_shard, render_shards, shard_path
from pretraining.stream import TARGET_NAMES, make_generator, simulate

CIGAR, MERGING, BARRED, EDGE_ON = (
    GALAXY10_CLASS_NAMES.index(name) for name in ("Cigar Shaped Smooth", "Merging", "Barred Spiral", "Edge-on without Bulge")
)


def test_stream_and_survey_never_share_a_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    make = np.random.default_rng
    survey_states = set()

    def record(seed: list[int]) -> np.random.Generator:
        survey_states.add(tuple(np.random.SeedSequence(seed).generate_state(4)))
        return make(seed)

    for seed in (0, 7):
        with monkeypatch.context() as patch:
            patch.setattr(np.random, "default_rng", record)
            assert (
                sum(
                    len(block.labels)
                    for block in survey.simulate_survey(num_galaxies=20, image_size=32, seed=seed, num_workers=1)
                )
                == 20
            )
    # A generator for each scene, for the plan, and for whose label is left away.
    assert len(survey_states) == 2 * (20 + 2)
    stream_states = {
        tuple(make_generator(seed, index).bit_generator.seed_seq.generate_state(4)) for seed in range(9) for index in range(50)
    }
    assert len(stream_states) == 9 * 50
    assert not survey_states & stream_states


def test_a_galaxy_depends_on_its_seed_and_index_alone() -> None:
    image, label, targets = simulate(3, 15, 32)
    again, _, _ = simulate(3, 15, 32)
    assert label == BARRED
    assert image.shape == (32, 32, 3)
    assert targets.shape == (len(TARGET_NAMES),)
    np.testing.assert_array_equal(image, again)
    for seed, index in ((4, 15), (3, 25)):
        assert not np.array_equal(image, simulate(seed, index, 32)[0])


def test_targets_say_what_was_drawn_and_nan_what_there_is_not() -> None:
    def targets(label: int) -> dict[str, float]:
        return dict(zip(TARGET_NAMES, simulate(0, label, 32)[2].tolist(), strict=True))

    barred, cigar, edge_on, merging = (targets(label) for label in (BARRED, CIGAR, EDGE_ON, MERGING))
    assert barred["bar_fraction"] > 0
    assert 2 < np.rad2deg(barred["arm_pitch"]) < 60
    assert cigar["bar_fraction"] == cigar["num_arms"] == 0
    assert np.isnan([cigar["bar_length"], cigar["arm_pitch"], cigar["dust_lane"]]).all()
    assert edge_on["edge_on"] == 1
    assert np.isnan(edge_on["disc_sersic"])
    assert merging["companion"] == 1
    assert merging["companion_separation"] > 0
    assert np.isnan(cigar["companion_separation"])


def test_rendering_makes_only_the_shards_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretraining.shards.SHARD_GALAXIES", 10)
    render_shards(tmp_path, seed=0, shards=range(2), image_size=24, num_workers=1)
    kept, lost = shard_path(tmp_path, 0, 0), shard_path(tmp_path, 0, 1)
    bytes_lost, written = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    render_shards(tmp_path, seed=0, shards=range(2), image_size=24, num_workers=1)
    assert lost.read_bytes() == bytes_lost
    assert kept.stat().st_mtime_ns == written
    images, labels, targets = read_shard(lost, 24)
    expected = simulate(0, 13, 24)
    np.testing.assert_array_equal(images[3], expected[0])
    assert labels.tolist() == list(range(10))
    np.testing.assert_array_equal(targets[3], expected[2])
    with pytest.raises(InputError, match=r"holds images of 24 px with 29 targets, expected 32 px"):
        read_shard(lost, 32)
