"""A kept survey: whole after any kill, grown to the bytes of one run, refused where another head cannot answer from it."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import galaxies
from galaxies.__main__ import main
from galaxies.data.bands import Channels
from galaxies.data.field_of_view import FieldOfView
from galaxies.data.splits import write_splits
from galaxies.errors import InputError
from galaxies.features import store as store_module
from galaxies.features import unfinished
from galaxies.features.store import Store
from galaxies.heads.head import load_head, save_head
from galaxies.prediction import keeping, run
from galaxies.prediction.answers import ask
from galaxies.prediction.kept_table import TableWriter, read_record
from galaxies.prediction.model import Model
from galaxies.prediction.result_file import write_result
from galaxies.prediction.run import PredictOptions, predict_inputs, predict_survey
from galaxies.prediction.similarity import find_nearest
from galaxies.sources.image_reader import ReadOptions
from tests.predicting import save_toy_head
from tests.toys import toy_images, toy_splits, tree_bytes, write_toy_catalog

BLOCK_ROWS = 4
OPTIONS = PredictOptions(batch_size=3)
FIELD = FieldOfView(32, 0.5, 0.5, 0.5)  # 16 arcsec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a head and 12 images."""
    folder = tmp_path_factory.mktemp("keeping")
    save_toy_head(folder, field=FIELD)
    (folder / "images").mkdir()
    for index, image in enumerate(toy_images(12, seed=5)):
        Image.fromarray(image).save(folder / "images" / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return galaxies.load(folder / "models", device="cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MAX_SHARD_ROWS", BLOCK_ROWS)
    monkeypatch.setattr(store_module, "_MAX_CHUNK_ROWS", 2)


def write_catalogue(folder: Path, names: list[str]) -> str:
    """Write a catalogue of some of the images, copied beside it, and return its path."""
    folder.mkdir(exist_ok=True)
    (folder / "c.csv").write_text("id,path,pxscale\n" + "".join(f"{name},{name}.png,0.5\n" for name in names))
    return str(folder / "c.csv")


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """Return a folder with the images, whose times of change are those of all other such folders."""
    shutil.copytree(folder / "images", tmp_path / "in")
    return tmp_path / "in"


NAMES = [f"{index:02d}" for index in range(12)]


def keep(source: str, folder: Path, model: Model, **changes: Any) -> dict[str, bytes]:
    """Predict and keep; return the bytes of store, table and result."""
    options = replace(OPTIONS, keep=folder / "survey.zarr", **changes)
    predict_inputs(source, folder / "out.parquet", model, options)
    return kept_bytes(folder)


def kept_bytes(folder: Path) -> dict[str, bytes]:
    found = {"out": (folder / "out.parquet").read_bytes()}
    for name in ("survey.zarr", "survey.table"):
        found |= {f"{name}/{file}": content for file, content in tree_bytes(folder / name).items()}
    return found


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many images went through the network, a number a batch."""
    found: list[int] = []
    resize = Model.resize

    def count(self: Model, images: Any) -> torch.Tensor:
        if images[0].shape != (64, 64, 3):  # Of the noise that tells the layout.
            found.append(len(images))
        return resize(self, images)

    monkeypatch.setattr(Model, "resize", count)
    return found


@pytest.mark.parametrize("number", [1, BLOCK_ROWS, BLOCK_ROWS + 1, 11])
def test_a_kept_survey_is_the_network_on_each_image(place: Path, model: Model, tmp_path: Path, number: int) -> None:
    keep(write_catalogue(place, NAMES[:number]), tmp_path, model)
    survey = galaxies.open_survey(tmp_path / "survey.zarr")
    images = [np.asarray(Image.open(place / f"{name}.png")) for name in NAMES[:number]]
    np.testing.assert_allclose(survey.features(), model.compute_features(images), rtol=1e-4, atol=1e-5)
    assert survey.table().column("id").to_pylist() == NAMES[:number]
    assert survey.rows.tolist() == list(range(number))
    assert len(list((tmp_path / "survey.table").glob("*.parquet"))) == -(-number // BLOCK_ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.parquet", "survey.table", "survey.zarr"]


def test_what_is_kept_changes_no_answer_and_answers_again_without_images(
    place: Path, folder: Path, model: Model, tmp_path: Path, computed: list[int]
) -> None:
    source = write_catalogue(place, NAMES)
    kept = keep(source, tmp_path, model)
    predict_inputs(source, tmp_path / "alone.parquet", model, OPTIONS)
    assert (tmp_path / "alone.parquet").read_bytes() == kept["out"]
    shutil.rmtree(place)
    computed.clear()
    predict_survey(tmp_path / "survey.zarr", tmp_path / "again.parquet", ask(folder / "models"), OPTIONS)
    assert (tmp_path / "again.parquet").read_bytes() == kept["out"]
    answered = galaxies.open_survey(tmp_path / "survey.zarr").predict(model)
    assert answered.to_pandas().equals(pd.read_parquet(tmp_path / "alone.parquet"))
    assert computed == []


@pytest.mark.parametrize("broken", [NAMES, NAMES[4:8], ["00", "11"]], ids=["all", "a block", "first and last"])
def test_a_galaxy_that_cannot_be_read_is_zeros_and_never_a_feature(
    place: Path, model: Model, tmp_path: Path, broken: list[str]
) -> None:
    for name in broken:
        (place / f"{name}.png").write_text("no image")
    keep(write_catalogue(place, NAMES), tmp_path, model)
    survey = galaxies.open_survey(tmp_path / "survey.zarr")
    rows = [NAMES.index(name) for name in broken]
    assert survey.rows.tolist() == [row for row in range(12) if row not in rows]
    activations = np.asarray(survey.store.activations)
    assert not activations[rows].any()
    assert activations[survey.rows].any(axis=(1, 2)).all()
    assert survey.features().shape == (12 - len(broken), 64)
    with pytest.raises(InputError, match=f"1 of the rows have no features .row {rows[0]}"):
        survey.features(np.array([rows[0]]))
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["error"].notna().tolist() == table["predicted"].isna().tolist() == [row in rows for row in range(12)]


def test_an_activation_that_the_store_cannot_hold_is_a_row_with_its_reason(tmp_path: Path) -> None:
    """What is read from files may be anything; one image must not end a run of a million."""
    save_toy_head(tmp_path, layer="layer3", keep=True)
    model = galaxies.load(tmp_path / "models", device="cpu")
    (tmp_path / "in").mkdir()
    for index, image in enumerate(toy_images(3)):
        Image.fromarray(image).save(tmp_path / "in" / f"{index}.png")
    make_forward, num_calls = model.make_forward, 0

    def overflow_of_the_second(*arguments: Any) -> Any:
        forward = make_forward(*arguments)

        def compute(images: torch.Tensor) -> dict[str, torch.Tensor]:
            nonlocal num_calls
            num_calls += 1
            found = {layer: activation.clone() for layer, activation in forward(images).items()}
            if num_calls == 3:  # After the example of noise and the first image; one of such maps is a batch.
                found["layer3"][0, 0, 0, 0, 0] = 1e6
            return found

        return replace(forward, compute=compute)

    model.make_forward = overflow_of_the_second  # type: ignore[method-assign,assignment]
    predict_inputs(str(tmp_path / "in"), tmp_path / "out.csv", model, replace(OPTIONS, keep=tmp_path / "survey.zarr"))
    errors = pd.read_csv(tmp_path / "out.csv")["error"]
    assert errors.isna().tolist() == [True, False, True]
    assert errors[1] == "the network gives numbers that float16 cannot hold"
    assert galaxies.open_survey(tmp_path / "survey.zarr").rows.tolist() == [0, 2]


@pytest.mark.parametrize("layer", ["layer3", "input"])
def test_a_kept_ending_answers_from_maps_and_without_keeping_from_features(tmp_path: Path, layer: str) -> None:
    save_toy_head(tmp_path, layer=layer, keep=True)
    model = galaxies.load(tmp_path / "models", device="cpu")
    source = str(tmp_path / "galaxies.h5")
    predict_inputs(source, tmp_path / "alone.parquet", model, OPTIONS)
    keep(source, tmp_path, model)
    alone, kept = (pd.read_parquet(tmp_path / name) for name in ("alone.parquet", "out.parquet"))
    numbers = [name for name in map(str, alone) if name.startswith("p ")]
    np.testing.assert_allclose(alone[numbers], kept[numbers], atol=2e-3)
    survey = galaxies.open_survey(tmp_path / "survey.zarr")
    assert survey.store.activations.ndim == 5
    assert survey.features(np.array([3, 1])).shape == (2, survey.store.activations.shape[2])


@pytest.mark.parametrize(("before", "after"), [(4, 5), (5, 12), (3, 8), (8, 12), (12, 12), (12, 5)])
def test_what_grows_is_computed_alone_and_equals_one_run(
    place: Path, model: Model, tmp_path: Path, computed: list[int], before: int, after: int
) -> None:
    (tmp_path / "whole").mkdir()
    source = write_catalogue(place, NAMES[:after])
    expected = keep(source, tmp_path / "whole", model)
    write_catalogue(place, NAMES[:before])
    keep(source, tmp_path, model)
    computed.clear()
    write_catalogue(place, NAMES[:after])
    found = keep(source, tmp_path, model)
    assert found == expected
    same = min(before, after)
    first_changed = same if before == after else same // BLOCK_ROWS * BLOCK_ROWS
    assert sum(computed) == after - first_changed


def test_an_input_that_changes_or_goes_is_computed_again_with_its_block_alone(
    place: Path, model: Model, tmp_path: Path, computed: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    source = write_catalogue(place, NAMES)
    keep(source, tmp_path, model)
    computed.clear()
    (place / "05.png").unlink()
    Image.fromarray(toy_images(1, seed=9)[0]).save(place / "11.png")
    keep(source, tmp_path, model)
    assert sum(computed) == 3 + 4
    assert "2 blocks are computed again: their inputs have changed since" in caplog.text
    assert pd.read_parquet(tmp_path / "out.parquet")["error"].notna().tolist() == [name == "05" for name in NAMES]


def test_an_id_that_comes_again_is_noted_in_the_rows_that_were_kept_before(place: Path, model: Model, tmp_path: Path) -> None:
    source = write_catalogue(place, NAMES[:4])
    keep(source, tmp_path, model)
    with Path(source).open("a") as file:
        file.write("00,07.png,0.5\n")
    keep(source, tmp_path, model)
    notes = pd.read_parquet(tmp_path / "out.parquet")["notes"]
    assert notes.str.contains("another input has the same id").tolist() == [True, False, False, False, True]


class Stop(BaseException):
    """What a kill does to a process, as far as the disk can see."""


def stop_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that raises Stop instead of its call after ``calls``."""
    left = calls

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Stop
        left -= 1
        return function(*arguments, **options)

    return call


KILLS: dict[str, tuple[Any, str, int]] = {
    "before any block": (unfinished, "write_text", 0),
    "after a block": (unfinished, "write_text", 1),
    "between shard and part": (TableWriter, "take", 1),
    "before the store": (run, "publish_survey", 0),
    "between store and table": (keeping, "publish_files", 0),
    "before the answers": (run, "write_result", 0),
}


@pytest.mark.parametrize("grown", [False, True], ids=["first", "grown"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_goes_on_to_the_same_bytes(
    place: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int], kill: str, grown: bool
) -> None:
    (tmp_path / "whole").mkdir()
    source = write_catalogue(place, NAMES)
    expected = keep(source, tmp_path / "whole", model)
    if grown:
        write_catalogue(place, NAMES[:5])
        keep(source, tmp_path, model)
        (tmp_path / "out.parquet").unlink()
        write_catalogue(place, NAMES)
    owner, name, calls = KILLS[kill]
    computed.clear()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop_after(calls, getattr(owner, name)))
        with pytest.raises(Stop):
            keep(source, tmp_path, model)
    assert not (tmp_path / "out.parquet").exists()
    if kill == "between store and table":
        with pytest.raises(InputError, match=r"survey\.table: found 0 parts, expected are the 3 .* Run the same command again"):
            galaxies.open_survey(tmp_path / "survey.zarr")
    elif (tmp_path / "survey.zarr").exists():
        assert len(galaxies.open_survey(tmp_path / "survey.zarr")) in (5, 12)
    num_before = sum(computed)
    assert keep(source, tmp_path, model) == expected
    if kill not in ("before any block", "between shard and part", "after a block"):
        assert sum(computed) == num_before  # Nothing was computed twice.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.parquet", "survey.table", "survey.zarr", "whole"]


def test_any_block_that_is_missing_is_made(place: Path, model: Model, tmp_path: Path, computed: list[int]) -> None:
    source = write_catalogue(place, NAMES)
    expected = keep(source, tmp_path, model)
    computed.clear()
    (tmp_path / "survey.zarr" / "activations" / "c.1.0.0").write_bytes(b"damaged")
    assert keep(source, tmp_path, model) == expected
    (tmp_path / "survey.table" / "000000.parquet").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"000000\.parquet cannot be read .* it makes this block anew"):
        galaxies.open_survey(tmp_path / "survey.zarr").table()
    assert keep(source, tmp_path, model) == expected
    assert sum(computed) == 8


def test_each_block_is_on_record_with_its_images(place: Path, model: Model, tmp_path: Path) -> None:
    source = write_catalogue(place, NAMES)
    keep(source, tmp_path, model)
    first = [read_record(path) for path in sorted((tmp_path / "survey.table").glob("*.parquet"))]
    key = Store(tmp_path / "survey.zarr").key
    assert all(record is not None and record.key == key for record in first)
    assert len({record.images_sha256 for record in first if record}) == 3
    image = np.array(Image.open(place / "06.png"))
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(place / "06.png")
    keep(source, tmp_path, model)
    second = [read_record(path) for path in sorted((tmp_path / "survey.table").glob("*.parquet"))]
    changed = [before != after for before, after in zip(first, second, strict=True)]
    assert changed == [False, True, False]


def test_the_listing_is_kept_from_a_killed_run_to_the_next(
    place: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_catalogue(place, NAMES)
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_result", stop_after(0, write_result))
        with pytest.raises(Stop):
            keep(source, tmp_path, model)
    with monkeypatch.context() as patch:
        patch.setattr(run, "list_inputs", lambda *_, **__: pytest.fail("listed again"))
        keep(source, tmp_path, model)


def change_head(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """Write the head with another field or identity, and return its place."""
    trained = load_head(folder / "models" / "head.pt")
    save_head(tmp_path / "head.pt", replace(trained, **changes))
    return tmp_path / "head.pt"


REFUSED = r"16 arcsec at 32 px, .* {} arcsec at {} px"
FIELDS = [
    pytest.param(FIELD, None, id="the same"),
    pytest.param(FieldOfView(32, 0.5 * 1.009, 0.1, 0.9), None, id="wider by 0.9 %"),
    pytest.param(FieldOfView(32, 0.5 * 0.991, 0.1, 0.9), None, id="narrower by 0.9 %"),
    pytest.param(FieldOfView(32, 0.5 * 1.02, 0.1, 0.9), REFUSED.format("16.32", 32), id="wider by 2 %"),
    pytest.param(FieldOfView(32, 0.5 * 0.98, 0.1, 0.9), REFUSED.format("15.68", 32), id="narrower by 2 %"),
    pytest.param(FieldOfView(64, 0.25, 0.25, 0.25), REFUSED.format("16", 64), id="other pixels"),
    pytest.param(FieldOfView(32, None, None, None), None, id="unknown"),
    pytest.param(
        FieldOfView(32, 0.5, 0.5, 0.5, channels=Channels(("u", "g", "r"))),
        "the bands R, G, B, and the head was trained on u, g, r",
        id="other bands",
    ),
]


@pytest.mark.parametrize(("field", "refusal"), FIELDS)
def test_a_head_of_nearly_the_same_field_answers_and_another_is_refused(
    place: Path,
    folder: Path,
    model: Model,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    field: FieldOfView,
    refusal: str | None,
) -> None:
    source = write_catalogue(place, NAMES[:3])
    keep(source, tmp_path, model)
    path = change_head(folder, tmp_path, field=field)
    options = replace(OPTIONS, keep=tmp_path / "survey.zarr")
    calls: list[Callable[[], object]] = [
        lambda: predict_survey(tmp_path / "survey.zarr", tmp_path / "other.parquet", ask(path), OPTIONS),
        lambda: predict_inputs(source, tmp_path / "more.parquet", galaxies.load(path, device="cpu"), options),
    ]
    for predict in calls:
        caplog.clear()
        if refusal is None:
            predict()
            assert ("they differ by less than 1 %" in caplog.text) == (field.arcsec != FIELD.arcsec)
        else:
            with pytest.raises(InputError, match=refusal):
                predict()


def test_the_field_may_be_said_within_the_same_bounds(place: Path, model: Model, tmp_path: Path) -> None:
    source = write_catalogue(place, NAMES[:3])
    with pytest.raises(InputError, match=r"--field shows a field of 17 arcsec .* the head was trained on a field of 16 arcsec"):
        keep(source, tmp_path, model, field_arcsec=17.0)
    keep(source, tmp_path, model, field_arcsec=16.1)
    framing = Store(tmp_path / "survey.zarr").identity.framing
    assert framing is not None
    assert framing.field.arcsec == pytest.approx(16.1)
    keep(source, tmp_path, model)  # The first one decided.
    assert Store(tmp_path / "survey.zarr").identity.framing == framing
    with pytest.raises(InputError, match=r"16\.1 arcsec .*15\.9 arcsec"):
        keep(source, tmp_path, model, field_arcsec=15.9)


def test_images_as_they_are_answer_heads_of_any_field(place: Path, folder: Path, model: Model, tmp_path: Path) -> None:
    source = write_catalogue(place, NAMES[:3])
    keep(source, tmp_path, model, images=ReadOptions(as_is=True))
    path = change_head(folder, tmp_path, field=FieldOfView(32, 9.0, 9.0, 9.0))
    predict_survey(tmp_path / "survey.zarr", tmp_path / "other.parquet", ask(path), OPTIONS)
    with pytest.raises(InputError, match=r"--keep: .* was read with .*as_is.* give another name"):
        keep(source, tmp_path, model)


@pytest.mark.parametrize("what", ["layer", "weights", "pool", "precision"])
def test_a_head_of_another_network_is_refused_by_name(
    place: Path, folder: Path, model: Model, tmp_path: Path, what: str
) -> None:
    source = write_catalogue(place, NAMES[:3])
    keep(source, tmp_path, model)
    identity = load_head(folder / "models" / "head.pt").identity
    changes: dict[str, dict[str, Any]] = {
        "layer": {"layer": "layer2"},
        "weights": {"weights_digest": "of other tensors"},
        "pool": {"pool": "cls"},
        "precision": {"precision": "bfloat16"},
    }
    path = change_head(folder, tmp_path, identity=replace(identity, **changes[what]))
    with pytest.raises(InputError, match=rf"other settings than the head's:\n  .*{what}.*: the store has"):
        predict_survey(tmp_path / "survey.zarr", tmp_path / "other.parquet", ask(path), OPTIONS)
    with pytest.raises(InputError, match=rf"{what}.*: the store has"):
        galaxies.open_survey(tmp_path / "survey.zarr").predict(path)


def test_a_head_of_another_catalog_views_or_place_of_equal_weights_answers(
    place: Path, folder: Path, model: Model, tmp_path: Path
) -> None:
    keep(write_catalogue(place, NAMES[:3]), tmp_path, model)
    identity = load_head(folder / "models" / "head.pt").identity
    other = replace(identity, catalog="of others", views=8, backbone=replace(identity.backbone, weights="elsewhere.pth"))
    path = change_head(folder, tmp_path, identity=other)
    predict_survey(tmp_path / "survey.zarr", tmp_path / "other.parquet", ask(path), OPTIONS)


def test_a_place_that_cannot_be_kept_is_refused_before_the_work(
    place: Path, folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_catalogue(place, NAMES[:3])
    monkeypatch.setattr(Model, "make_forward", lambda *_: pytest.fail("it predicts"))
    with pytest.raises(InputError, match=r"--keep: found .*survey, expected is a name that ends in \.zarr"):
        predict_inputs(source, tmp_path / "out.csv", model, replace(OPTIONS, keep=tmp_path / "survey"))
    with pytest.raises(InputError, match=r"layer1\.zarr is a store of the pipeline"):
        predict_inputs(source, tmp_path / "out.csv", model, replace(OPTIONS, keep=folder / "features" / "layer1.zarr"))
    (tmp_path / "other.zarr").mkdir()
    with pytest.raises(InputError, match=r"other\.zarr is not an activation store"):
        predict_inputs(source, tmp_path / "out.csv", model, replace(OPTIONS, keep=tmp_path / "other.zarr"))


def test_other_conditions_go_on_with_a_note_and_keep_what_was_kept(
    place: Path, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture, computed: list[int]
) -> None:
    source = write_catalogue(place, NAMES[:8])
    first = keep(source, tmp_path, model)
    computed.clear()
    write_catalogue(place, NAMES)
    second = keep(source, tmp_path, model, batch_size=2)
    assert sum(computed) == 4
    assert "its 2 blocks stay, new ones may differ from them in the last bits: batch_rows was 3, is 2" in caplog.text
    shard = "survey.zarr/activations/c.1.0.0"
    assert second[shard] == first[shard]


def test_the_command_keeps_answers_and_exports(
    place: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--model-dir", str(folder / "models")]
    here = [*common, "--device", "cpu"]
    (place / "03.png").write_text("no image")
    assert main(["predict", "in", "--out", "out.csv", "--keep", "survey.zarr", "--num-workers", "0", *here]) == 0
    assert main(["predict", "survey.zarr", "--out", "again.csv", *here]) == 0
    assert Path("again.csv").read_bytes() == Path("out.csv").read_bytes()
    assert main(["predict", "survey.zarr", "--out", "first.csv", "--limit", "5", *here]) == 0
    assert Path("out.csv").read_text().startswith(Path("first.csv").read_text())
    assert main(["predict", "survey.zarr", "--out", "again.csv", "--as-is", *here]) == 1
    assert "a survey whose images were read already" in capsys.readouterr().err
    assert main(["predict", "survey.zarr", "--out", "again.csv", "--metrics", "m.json", *here]) == 1
    assert "--metrics: there are no labels" in capsys.readouterr().err
    assert main(["export", "features.parquet", "--survey", "survey.zarr", *common]) == 0
    exported = pd.read_parquet("features.parquet")
    assert exported["row"].tolist() == [row for row in range(12) if row != 3]
    survey = galaxies.open_survey("survey.zarr")
    np.testing.assert_array_equal(np.stack(list(exported["features"])), survey.features())
    capsys.readouterr()
    assert main(["similar", "in/05.png", "--survey", "survey.zarr", "--number", "20", *here]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["0.000", "row", "5", "05"]
    assert len(lines) == 11 + 1


def test_what_is_similar_is_found_whatever_the_block(place: Path, model: Model, tmp_path: Path) -> None:
    keep(write_catalogue(place, NAMES), tmp_path, model)
    survey = galaxies.open_survey(tmp_path / "survey.zarr")
    features = survey.features()
    wanted = torch.from_numpy(features[6:7])
    for number in (1, 5, 12, 20):
        distances, rows = find_nearest(model, survey, wanted, number)
        std = model.trained.head.std.numpy()
        expected = np.sqrt(np.square((features - features[6]) / std).mean(axis=1, dtype=np.float64))
        assert rows.tolist() == np.argsort(expected, kind="stable")[:number].tolist()
        np.testing.assert_allclose(distances, np.sort(expected)[:number], rtol=1e-5)
        assert distances[0] == 0


def test_a_survey_of_the_pipeline_is_one_like_any_other(folder: Path, tmp_path: Path) -> None:
    save_toy_head(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "galaxies.h5").rename(tmp_path / "data" / "galaxies.h5")
    images = toy_images(40)
    write_toy_catalog(tmp_path / "data" / "catalog.parquet", images)
    write_splits(tmp_path / "data" / "splits.parquet", toy_splits(np.repeat([0, 1], 20), ["train"] * 40))
    survey = galaxies.open_survey(tmp_path / "features" / "layer1.zarr")
    model = galaxies.load(tmp_path / "models", device="cpu")
    np.testing.assert_allclose(survey.features(), model.compute_features(list(images)), rtol=1e-4, atol=1e-5)
    table = survey.predict(tmp_path / "models")
    assert table.column("label").to_pylist()[::39] == ["class 0", "class 1"]
    np.testing.assert_allclose(table.column("confidence"), model.predict(images).confidence, atol=1e-3)
    write_toy_catalog(tmp_path / "data" / "catalog.parquet", images[::-1])
    with pytest.raises(InputError, match="holds the galaxies of another catalog"):
        galaxies.open_survey(tmp_path / "features" / "layer1.zarr")


def test_the_identity_knows_no_catalog_and_how_images_were_read(place: Path, model: Model, tmp_path: Path) -> None:
    keep(write_catalogue(place, NAMES[:2]), tmp_path, model)
    store = Store(tmp_path / "survey.zarr")
    values = json.loads(json.dumps(store.identity.to_json()))
    assert "catalog" not in values
    field = values["framing"]["field"]
    assert (field["image_size"], field["pxscale"]) == (32, 0.5)
    assert os.listdir(tmp_path / "survey.zarr" / "activations")  # noqa: PTH208
