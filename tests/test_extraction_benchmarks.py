"""The measurements of extraction run: they are started by hand, months apart, and what they call changes meanwhile."""

from pathlib import Path

import pytest

from benchmarks.extraction_rivals import WAYS, run_way
from benchmarks.extraction_speed import stage_rate
from benchmarks.measuring import extract_params, write_noise

PARAMS = extract_params(backbone="timm:resnet10t", layers=("layer2",), pool="map", image_size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    write_noise(folder / "galaxies.h5", 40, 32)
    return folder


# Exporting for ONNX Runtime takes seconds.
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.slow) if way in ("this", "all in memory, ONNX") else way for way in WAYS]
)
def test_every_way_to_extract_keeps_its_maps(way: str, folder: Path) -> None:
    found = run_way(way, folder, PARAMS, 16)
    assert found["rate"] > 0
    assert found["disk"] > 40 * 128 * 4 * 4 * 2 / 8  # float16, compressed


def test_the_stage_is_timed_from_its_first_batch_on(folder: Path) -> None:
    assert stage_rate(folder, PARAMS, 16, "torch") > 0
