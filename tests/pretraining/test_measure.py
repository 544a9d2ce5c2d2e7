"""The measurement of backbones on real galaxies: splits, choices and errors are what they are said to be."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pretraining.measure import main, paired_difference, read_galaxies, score_splits


def test_the_error_of_paired_differences_counts_the_overlap_of_the_splits() -> None:
    mean, error = paired_difference([0.5, 0.6, 0.7, 0.6, 0.6], [0.4, 0.4, 0.4, 0.4, 0.4])
    assert mean == pytest.approx(0.2)
    # Variance 0.005 of five differences, times 1/5 + 0.2/0.8 (Nadeau & Bengio 2003, section 3.1).
    assert error == pytest.approx(np.sqrt(0.005 * 0.45))


def test_scores_find_a_signal_and_nothing_where_there_is_none() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    noise = generator.standard_normal((200, 8), np.float32)
    signal = noise + 4 * np.eye(4, 8, dtype=np.float32)[labels]
    balanced = {
        name: [split["balanced_accuracy"] for split in score_splits(features, labels)]
        for name, features in (("noise", noise), ("signal", signal))
    }
    assert len(balanced["signal"]) == 5
    assert min(balanced["signal"]) > 0.9
    assert np.mean(balanced["noise"]) < 0.4


def test_blank_images_are_left_out(tmp_path: Path) -> None:
    path = _write_galaxies(tmp_path / "real.h5", number=10)
    with h5py.File(path, "r+") as file:
        file["images"][3] = 17
    images, labels = read_galaxies(path)
    assert len(images) == len(labels) == 9


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.h5"), "--weights", "random"]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_the_command_prints_both_backbones_and_their_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write_galaxies(tmp_path / "real.h5", number=60)
    out = tmp_path / "scores.json"
    assert main([str(path), "--weights", "random", "--image-size", "32", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    # Twice the same weights: the same scores on the same splits.
    assert "ours - random: +0.0 ± 0.0 points of balanced accuracy" in printed
    assert out.read_text().count('"macro_f1"') == 10


def _write_galaxies(path: Path, *, number: int) -> Path:
    """Write images of two kinds: bright at the left, bright at the right."""
    generator = np.random.default_rng(1)
    images = generator.integers(0, 60, (number, 32, 32, 3), dtype=np.uint8)
    images[::2, :, :16] += 150
    images[1::2, :, 16:] += 150
    with h5py.File(path, "w") as file:
        file["images"], file["ans"] = images, (np.arange(number) % 2).astype(np.uint8)
    return path
