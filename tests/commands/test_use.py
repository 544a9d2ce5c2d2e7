"""`galaxies use PATH`: what it says of a path, and that the stage then takes it."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from galaxies.__main__ import main
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.sources.download_params import DownloadParams
from stages import download, read_params
from tests.cutout_server import write_positions
from tests.pipelines import REPOSITORY
from tests.sources.test_training_like_prediction import broken, save_fits, save_picture
from tests.toys import toy_images, write_toy_galaxies


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the committed params.yaml the present one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def use(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["use", *arguments]) == 0
    return capsys.readouterr().out


def test_a_folder_of_fits_of_several_sizes_is_brought_to_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in enumerate((40, 40, 64, 40)):
        save_fits(folder / "mine" / "ab"[number % 2] / f"{number}.fits", size, number)
    printed = use(capsys, "mine")
    assert "mine is a folder of class folders: 4 galaxies." in printed
    assert "Classes: 2: a (2), b (2)." in printed
    assert "Files: .fits (4); positions: none known." in printed
    assert "Sizes: 40 px (3), 64 px (1); pixel scales: all known" in printed
    assert "All are brought to 40 px, the most frequent." in printed
    assert "  download.image_size: 40" in printed
    assert printed.endswith("The next command is `dvc repro`.\n")
    download.main()
    with GalaxyFile(folder / "data" / "galaxies.h5") as galaxies:
        assert (galaxies.num_galaxies, galaxies.image_size) == (4, 40)
    assert "params.yaml says so already." in use(capsys, "mine")


def test_another_input_takes_back_what_the_first_one_wanted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in enumerate((40, 64)):
        save_fits(folder / "mine" / "ab"[number] / f"{number}.fits", size, number)
        save_picture(folder / "pictures" / "ab"[number] / f"{number}.png", 40, number)
    use(capsys, "mine")
    assert "download.image_size: null" in use(capsys, "pictures")
    download.main()
    write_toy_galaxies(folder / "mine.h5", toy_images(6))
    printed = use(capsys, "mine.h5")
    assert "mine.h5 is a file in the Galaxy10 schema: 6 galaxies." in printed
    assert "Images: 32 x 32 px" in printed
    download.main()


def test_a_list_of_coordinates_will_be_cutouts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_positions(folder / "positions.csv", 10)
    printed = use(capsys, "positions.csv")
    assert "positions.csv is a catalogue of positions: 10 galaxies, whose cutouts will be fetched." in printed
    params = read_params("download", DownloadParams)
    assert (params.source, params.path) == ("cutouts", "positions.csv")


def test_galaxies_that_cannot_be_used_are_named_or_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in").mkdir()
    broken(folder / "in")
    before = (folder / "params.yaml").read_text()
    assert main(["use", "in/c.csv"]) == 1
    assert "5 things must be put right" in capsys.readouterr().err
    assert (folder / "params.yaml").read_text() == before
    printed = use(capsys, "in/c.csv", "--leave-out")
    assert "Left out: 5, such as" in printed
    assert YAML(typ="safe").load((folder / "params.yaml").read_text())["download"]["on_error"] == "leave_out"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "There is no file or folder absent."),
        (
            "flat",
            "flat holds images, but no folders that name their classes. To train, put them into a sub-folder for each class",
        ),
        ("flat/a.png", "To predict it: `galaxies predict flat/a.png --out predictions.csv`."),
        ("notes.docx", "notes.docx: expected a folder with a sub-folder for each class, or one of .h5"),
        ("other.csv", "found the columns name, flux, missing id, ra, dec, label"),
    ],
)
def test_what_cannot_be_used_says_what_could(folder: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_picture(folder / "flat" / "a.png")
    (folder / "notes.docx").write_text("?")
    (folder / "other.csv").write_text("name,flux\na,1\n")
    assert main(["use", name]) == 1
    assert message in capsys.readouterr().err
