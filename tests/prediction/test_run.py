"""Predicting many inputs: a row an input whatever it holds, resumed to the same bytes, in constant memory."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

import galaxies
from galaxies.__main__ import main
from galaxies.errors import InputError
from galaxies.prediction.model import Model
from galaxies.prediction.result_file import make_safe
from galaxies.prediction.run import PredictOptions, predict_inputs
from galaxies.prediction.table import COLUMNS, SCHEMA_VERSION
from galaxies.sources.image_reader import ReadOptions
from tests.predicting import CLASS_NAMES, NUM_GALAXIES, save_toy_head
from tests.toys import toy_images
from tests.users import plain_user

OPTIONS = PredictOptions(batch_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a head and 11 images of which one is broken."""
    folder = tmp_path_factory.mktemp("run")
    np.save(folder / "expected.npy", save_toy_head(folder))
    (folder / "images").mkdir()
    for index, image in enumerate(toy_images(11, seed=5)):
        Image.fromarray(image).save(folder / "images" / f"{index:02d}.png")
    (folder / "images" / "07.png").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return galaxies.load(folder / "models", device="cpu")


def predict(folder: Path, model: Model, out: Path, **changes: Any) -> pd.DataFrame:
    predict_inputs(str(folder / "images"), out, model, replace(OPTIONS, **changes))
    return pd.read_parquet(out)


def test_what_is_said_of_all_images_decides_the_rows(folder: Path, model: Model, tmp_path: Path) -> None:
    predicted = predict(folder, model, tmp_path / "out.parquet", images=ReadOptions(pxscale=0.4))
    assert (predicted["pxscale"].dropna() == 0.4).all()


def test_files_of_a_folder_that_are_passed_over_are_counted(
    folder: Path, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder / "images", tmp_path / "in")
    predict_inputs(str(tmp_path / "in"), tmp_path / "a.csv", model, OPTIONS)
    assert "passed over" not in caplog.text
    for name in ("a.svg", "b.webm", ".hidden"):
        (tmp_path / "in" / name).touch()
    predict_inputs(str(tmp_path / "in"), tmp_path / "a.csv", model, OPTIONS)
    assert caplog.messages == [
        f"{tmp_path}/in: 2 files with the ending of no image were passed over, such as {tmp_path}/in/a.svg"
    ]


def test_the_test_galaxies_get_the_probabilities_of_the_evaluate_stage(folder: Path, model: Model, tmp_path: Path) -> None:
    predict_inputs(str(folder / "galaxies.h5"), tmp_path / "out.parquet", model, PredictOptions())
    table = pd.read_parquet(tmp_path / "out.parquet")
    expected: NDArray[np.float64] = np.load(folder / "expected.npy")
    np.testing.assert_allclose(table[[f"p {name}" for name in CLASS_NAMES]].to_numpy(), expected, atol=1e-3)
    assert table["id"].tolist() == [f"{index:06d}" for index in range(NUM_GALAXIES)]


def test_every_input_is_a_row_in_order_also_the_broken_one(folder: Path, model: Model, tmp_path: Path) -> None:
    table = predict(folder, model, tmp_path / "out.parquet")
    assert table["id"].tolist() == [f"{index:02d}" for index in range(11)]
    assert table["error"].notna().tolist() == [index == 7 for index in range(11)]
    broken, good = table.loc[7], table.drop(index=7)
    assert broken["error"] == "not an image (JPEG, PNG, TIFF, WEBP, BMP, JPEG2000, PPM)"
    assert broken["abstain"]
    assert broken[["predicted", "confidence", "novelty"]].isna().all()
    assert good["confidence"].between(1 / 3, 1).all()
    assert set(good["predicted"]) <= set(CLASS_NAMES)
    images = np.stack([np.asarray(Image.open(path)) for path in good["path"]])
    direct = model.predict(images)
    np.testing.assert_allclose(good[[f"p {name}" for name in CLASS_NAMES]], direct.probabilities, atol=1e-3)
    np.testing.assert_allclose(good["novelty"], direct.novelty, rtol=1e-2)
    assert good["is_novel"].tolist() == direct.is_novel.tolist()
    assert not list(tmp_path.glob(".*"))


def test_the_schema_is_the_documented_one(folder: Path, model: Model, tmp_path: Path) -> None:
    predict(folder, model, tmp_path / "out.parquet", limit=1)
    schema = pq.read_schema(tmp_path / "out.parquet")
    names = [f"p {name}" for name in CLASS_NAMES]
    documented = [each for name in COLUMNS for each in (names if name.startswith("p ") else [name])]
    assert schema.names == documented
    assert all(field.metadata[b"description"] for field in schema)
    about = json.loads(schema.metadata[b"galaxies"])
    assert about["schema_version"] == SCHEMA_VERSION
    assert about["class_names"] == list(CLASS_NAMES)
    assert about["head_sha256"] == model.digest


def test_workers_and_batches_change_no_row(folder: Path, model: Model, tmp_path: Path) -> None:
    alone = predict(folder, model, tmp_path / "alone.parquet")
    shared = predict(folder, model, tmp_path / "shared.parquet", num_workers=2)
    assert alone.equals(shared)
    large = predict(folder, model, tmp_path / "large.parquet", batch_size=64)
    assert large["predicted"].equals(alone["predicted"])


def test_repeated_ids_are_predicted_and_noted(folder: Path, model: Model, tmp_path: Path) -> None:
    images = folder / "images"
    (images / "c.csv").write_text("id,path,ra\n=1+1,00.png,12.5\n=1+1,01.png,\nx,02.png,\n")
    predict_inputs(str(images / "c.csv"), tmp_path / "out.csv", model, OPTIONS)
    (images / "c.csv").unlink()
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["id"].tolist() == ["'=1+1", "'=1+1", "x"]
    assert table["notes"].str.contains("another input has the same id").tolist() == [True, True, False]
    assert table["ra"].tolist()[0] == 12.5
    assert not any(cell.startswith("=") for cell in (tmp_path / "out.csv").read_text().replace("\n", ",").split(","))


CELLS: dict[str, Any] = {"'=1": "=1", "'+1": "+1", "'-x": "-x", "'@a": "@a", "'\ta": "\ta", "'-a|b": ["-a", "b"]}
CELLS |= {"a=1": "a=1", "-1.5": -1.5, "": None, "true": True}


@pytest.mark.parametrize(("cell", "value"), CELLS.items())
def test_a_cell_is_never_a_formula(cell: str, value: Any) -> None:
    assert make_safe(value) == cell


def test_labelled_inputs_give_metrics(folder: Path, model: Model, tmp_path: Path) -> None:
    table = predict(folder, model, tmp_path / "out.parquet")
    labels = [*table["predicted"].fillna("round").iloc[:9], "other", ""]
    wrong = next(name for name in CLASS_NAMES if name != labels[0])
    lines = [f"{index:02d}.png,{label}" for index, label in enumerate([wrong, *labels[1:]])]
    (folder / "images" / "c.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    options = replace(OPTIONS, metrics=tmp_path / "metrics.json")
    predict_inputs(str(folder / "images" / "c.csv"), tmp_path / "out.parquet", model, options)
    (folder / "images" / "c.csv").unlink()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["num_galaxies"] == 8
    assert metrics["accuracy"] == 7 / 8
    assert (metrics["num_errors"], metrics["num_unlabelled"], metrics["num_other_labels"]) == (1, 1, 1)


def test_metrics_of_inputs_without_labels_are_refused(folder: Path, model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no labels; expected are the head's classes: round, =spiral, edge-on"):
        predict(folder, model, tmp_path / "out.parquet", metrics=tmp_path / "metrics.json")


@pytest.mark.parametrize("option", ["out", "metrics"])
def test_a_result_that_has_no_place_is_refused_before_the_work(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    source = tmp_path / "c.csv"
    source.write_text("path,label\na.png,round\n")
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.setattr(model, "resize", lambda images: pytest.fail("it predicts"))
    monkeypatch.chdir(tmp_path)
    for name, reason in {
        "folder.csv": "is a folder; give the name of a file",
        "folder.csv/../c.csv": "is the input itself, which it would replace",
        "c.csv/out.csv": "the folder c.csv cannot be made",
        "/proc/new/out.csv": "the folder /proc/new cannot be made",
    }.items():
        places = {"out": Path("out.csv"), option: Path(name)}
        with pytest.raises(InputError, match=f"--{option}: .*{reason}"):
            predict_inputs(str(source), places["out"], model, replace(OPTIONS, metrics=places.get("metrics")))
    assert source.read_text() == "path,label\na.png,round\n"


def test_names_that_are_not_utf_8_are_taken_for_latin_1(folder: Path, model: Model, tmp_path: Path) -> None:
    (folder / "images" / "c.csv").write_bytes(b"id,path\nNGC\xe9,00.png\n\xc3\xa9,00.png\n")
    predict_inputs(str(folder / "images" / "c.csv"), tmp_path / "out.csv", model, OPTIONS)
    (folder / "images" / "c.csv").unlink()
    assert pd.read_csv(tmp_path / "out.csv")["id"].tolist() == ["NGCé", "é"]


def test_what_the_system_refuses_is_a_message_and_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    arguments = ["predict", "images", "--num-workers", "0", "--device", "cpu", "--model-dir", "models", "--out"]
    assert main([*arguments, "out.csv", "--limit", "1"]) == 0
    with plain_user() as closed:
        closed.chmod(0o500)
        assert main([*arguments, str(closed / "out.csv")]) == 1
    assert "Permission denied; make it readable and writable for you" in capsys.readouterr().err

    def interrupt(self: Model, images: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "resize", interrupt)
    assert main([*arguments, "out.csv"]) == 130
    assert capsys.readouterr().err.endswith("Interrupted.\n")


def test_the_command_predicts(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--model-dir", str(folder / "models"), "--num-workers", "0", "--device", "cpu"]
    assert main(["predict", str(folder / "images"), "--out", str(tmp_path / "out.csv"), "--limit", "3", *common]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert len(table) == 3
    assert f"3 rows, 0 with an error; {table['abstain'].sum()} are left to a person" in capsys.readouterr().out
    assert main(["predict", str(folder / "images"), "--out", str(tmp_path / "out.xls"), *common]) == 1
    assert "found the ending .xls" in capsys.readouterr().err
