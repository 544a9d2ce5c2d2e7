"""The page "My data": each of its blocks takes somebody from their own files to a result, as it stands there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.commands.test_use import save_mosaic
from tests.cutout_server import CutoutServer, serve_cutouts, write_positions
from tests.documents import PAGES, Block, add_command, read_blocks
from tests.pipelines import Pipeline, make_pipeline, write_params
from tests.sources.test_training_like_prediction import save_fits

BLOCKS = [block for block in read_blocks("my-data.md", PAGES["my-data.md"].read_text(encoding="utf-8")) if block.is_code]
NUM_GALAXIES = 40  # Enough for each class to stand in every split.


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CutoutServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_cutouts() as running:
        yield running


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Make a repository with the files that the page speaks of beside it."""
    made = make_pipeline(
        tmp_path / "galaxies",
        download={"source": "simulated", "path": None, "sha256": None},
        extract={"image_size": 32, "layers": ["layer1"]},
    )
    add_command(made)
    folder = made.folder
    ignored = "/my_galaxies\n/euclid\n/images\n/galaxy_set\n/mosaic.fits\n/*.csv\n"
    (folder / ".git" / "info" / "exclude").write_text(ignored)
    for number in range(NUM_GALAXIES):
        save_fits(folder / "my_galaxies" / ("round", "spiral")[number % 2] / f"{number}.fits", 40 + number % 3 * 8, number)
        save_fits(folder / "euclid" / ("round", "spiral")[number % 2] / f"{number}.fits", 40, number, bands=("VIS",))
    lines = ["ID;Path;Label;RA;Dec"]
    (folder / "images").mkdir()
    for number in range(NUM_GALAXIES):
        image = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.jpg")
        lines.append(f"{10**17 + number};images/{number}.jpg;{'ab'[number % 2]};{number % 24}:00:00;-10")
    save_set(folder / "galaxy_set", [folder / "images" / f"{number}.jpg" for number in range(NUM_GALAXIES)])
    (folder / "catalogue.csv").write_text("\n".join(lines) + "\n")
    (folder / "others.csv").write_text("\n".join(line.rsplit(";", 3)[0] for line in lines) + "\n")
    write_positions(folder / "positions.csv", NUM_GALAXIES)
    save_mosaic(folder, NUM_GALAXIES)
    return made


def save_set(folder: Path, files: list[Path]) -> None:
    """Write images into two Parquet files, in two classes, as the Hugging Face Hub has them."""
    folder.mkdir()
    for part in range(2):
        chosen = files[part::2]
        images = [{"bytes": file.read_bytes(), "path": file.name} for file in chosen]
        labels = ["ab"[number // 5 % 2] for number in range(len(chosen))]
        columns = {"image": images, "id_str": [file.stem for file in chosen], "label": labels}
        pq.write_table(pa.table(columns), folder / f"train-{part}.parquet", row_group_size=8)


def test_each_block_has_three_commands() -> None:
    assert len(BLOCKS) >= 3
    for block in BLOCKS:
        assert len(block.commands) == 3, block.place


@pytest.mark.slow
@pytest.mark.pipeline
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.commands[0].line)
def test_its_commands_lead_to_a_result(block: Block, pipeline: Pipeline, server: CutoutServer) -> None:
    if "positions" in block.text:
        write_params(pipeline.folder, download={"url": server.url(), "rate_per_second": 500, "image_size": 40})
    printed = [pipeline.run("bash", "-euo", "pipefail", "-c", command.line) for command in block.commands]
    assert f"{NUM_GALAXIES} galaxies" in printed[0]
    assert "accuracy" in printed[2] or f"{NUM_GALAXIES} rows, 0 with an error" in printed[2]
