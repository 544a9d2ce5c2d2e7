"""`galaxies use PATH`: what it says of a path, and that the stage then takes it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from ruamel.yaml import YAML

from galaxies.__main__ import main
from galaxies.backbones.spec import ExtractParams
from galaxies.data.field_of_view import find_field
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.heads.train_params import TrainParams
from galaxies.params_file import change_section
from galaxies.sources.decoding import decode, silent_readers
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.inputs import list_inputs
from stages import download, read_params
from tests.cutout_server import write_positions
from tests.pipelines import REPOSITORY
from tests.sources.test_training_like_prediction import broken, counts, fluxes, save_fits, save_picture
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
    assert "All are brought to 40 px." in printed
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


def save_mosaic(folder: Path, num_galaxies: int = 4) -> Path:
    """Write a mosaic with galaxies on noise, and the catalogue of their positions."""
    save_fits(folder / "mosaic.fits", 400, 0, pxscale=1.5)  # So that 50 px are more than split.group_radius_arcsec.
    places = [(x, y) for y in range(50, 400, 50) for x in range(50, 400, 50)]
    with fits.open(folder / "mosaic.fits", "update") as hdus, silent_readers():
        wcs = WCS(hdus[0].header).celestial
        hdus[0].data[:] = np.random.default_rng(0).normal(0, 0.01, hdus[0].data.shape)
        lines = ["id,path,ra,dec,label"]
        for number, (x, y) in enumerate(places[:num_galaxies]):
            hdus[0].data[:, y - 20 : y + 20, x - 20 : x + 20] += fluxes(40, number)
            ra, dec = wcs.all_pix2world(x - 0.5, y - 0.5, 0)
            lines.append(f"g{number},mosaic.fits,{float(ra):.7f},{float(dec):.7f},{'ab'[number % 2]}")
    (folder / "sources.csv").write_text("\n".join(lines) + "\n")
    return folder / "sources.csv"


def test_a_mosaic_with_a_catalogue_trains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_mosaic(folder)
    assert main(["use", "sources.csv"]) == 1
    assert "mosaic.fits holds 4 galaxies, each at its position: say how large an image of each is" in capsys.readouterr().err
    printed = use(capsys, "sources.csv", "--image-size", "48", "--field-arcsec", "60")
    assert "Files: .fits (4); positions: all known." in printed
    download.main()
    with GalaxyFile(folder / "data" / "galaxies.h5") as galaxies:
        images = galaxies.read_images(np.arange(4))
        field = find_field(48, galaxies.pxscale, galaxies.framed_pxscale, galaxies.channels)
    assert field.arcsec == pytest.approx(60)
    for image in images:  # Each galaxy is in the middle of its own image.
        brightness = image.sum(axis=2)
        assert brightness[20:28, 20:28].mean() > 1.5 * np.median(brightness)
    for one, image in zip(decode(list(list_inputs("sources.csv")), field), images, strict=True):
        np.testing.assert_array_equal(one.image, image)


def test_a_list_of_coordinates_will_be_cutouts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_positions(folder / "positions.csv", 10)
    printed = use(capsys, "positions.csv")
    assert "positions.csv is a catalogue of positions: 10 galaxies, whose cutouts will be fetched." in printed
    params = read_params("download", DownloadParams)
    assert (params.source, params.path) == ("cutouts", "positions.csv")


def test_embeddings_bring_their_layer_and_images_that_of_the_backbone_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {"id": ["a", "b", "c"], "label": ["x", "y", None], "features": [[0.5, 1.5]] * 3, "ra": [1.0, None, None]}
    pd.DataFrame(table | {"dec": table["ra"]}).to_parquet("embeddings.parquet")
    printed = use(capsys, "embeddings.parquet")
    assert "embeddings.parquet is a table of embeddings: 3 galaxies of 2 features, the lists in features." in printed
    assert "Labels: 2 of 3 known; positions: 1 of 3 known." in printed
    assert "  extract.layers: [embeddings]\n  train.layer: embeddings\n" in printed
    assert read_params("download", DownloadParams).source == "embeddings"
    assert read_params("extract", ExtractParams).layers == (read_params("train", TrainParams).layer,) == ("embeddings",)
    write_positions(folder / "positions.csv", 10)
    assert "  extract.layers: [layer3+layer4]\n  train.layer: layer3+layer4\n" in use(capsys, "positions.csv")


def test_galaxies_that_cannot_be_used_are_named_or_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in").mkdir()
    broken(folder / "in")
    before = (folder / "params.yaml").read_text()
    assert main(["use", "in/c.csv"]) == 1
    assert "5 things must be put right" in capsys.readouterr().err
    assert (folder / "params.yaml").read_text() == before
    printed = use(capsys, "in/c.csv", "--leave-out")
    assert "Left out: 5, such as" in printed
    assert "Classes: 2: x (2), y (1). Without a label: 1." in printed
    assert YAML(typ="safe").load((folder / "params.yaml").read_text())["download"]["on_error"] == "leave_out"


def test_positions_of_another_name_and_without_labels_say_what_can_be_done(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "positions.csv").write_text("ID,RAJ2000,DEJ2000\na,150.1,2.2\nb,10:00:01,+02:00:00\n")
    printed = use(capsys, "positions.csv")
    assert "positions.csv is a catalogue of positions: 2 galaxies" in printed
    assert "No galaxy has a label: nothing can be trained on these alone." in printed
    assert "`galaxies predict TABLE --out predictions.csv`, where TABLE names their images in a column path." in printed
    assert "positions.csv: the positions are those of the columns raj2000 and dej2000" in caplog.text


def test_doubts_are_counted_and_a_zero_point_takes_them_away(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts(folder / "in")
    assert main(["use", "in"]) == 1
    assert "2 things must be put right:\n  in/a/6.fits: in doubt: the unit 'count' has no zero point" in capsys.readouterr().err
    assert "Left out: 2, such as in/a/6.fits: in doubt: " in use(capsys, "in", "--leave-out")
    assert "download.zero_point: 27.0" in use(capsys, "in", "--zero-point", "27")
    download.main()


def test_bands_are_asked_for_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        save_fits(folder / "in" / "ab"[number % 2] / f"{number}.fits", 40, number, bands=("u", "VIS"))
    assert main(["use", "in"]) == 1
    assert "found the bands u, VIS, expected g, r and z by name" in capsys.readouterr().err
    printed = use(capsys, "in", "--bands", "VIS,u", "--dtype", "float16")
    assert "Channels: VIS, u." in printed
    assert "download.bands: [VIS, u]" in printed
    download.main()
    with GalaxyFile(folder / "data" / "galaxies.h5") as galaxies:
        assert (galaxies.bands, galaxies.channels.dtype) == (("VIS", "u"), "float16")
    assert "params.yaml says so already." in use(capsys, "in", "--bands", "VIS,u", "--dtype", "float16")
    for number in range(2):
        save_picture(folder / "pictures" / "ab"[number] / f"{number}.png", 40, number)
    assert "download.bands: null" in use(capsys, "pictures")


def test_what_images_wanted_is_taken_back_for_a_file_that_has_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their bands, left there, were refused by the next `dvc repro`."""
    for number in range(4):
        save_fits(folder / "in" / "ab"[number % 2] / f"{number}.fits", 40, number, bands=("u", "VIS"))
    options = ("--bands", "VIS,u", "--dtype", "float16", "--zero-point", "25", "--image-size", "32", "--field-arcsec", "5")
    use(capsys, "in", "--leave-out", *options)
    write_toy_galaxies(folder / "mine.h5", toy_images(6))
    use(capsys, "mine.h5")
    found = read_params("download", DownloadParams)
    assert found == DownloadParams(source="hdf5", path="mine.h5", sha256=found.sha256)
    change_section(Path("params.yaml"), "download", {"unlabelled_value": -7})
    assert "params.yaml says so already." in use(capsys, "mine.h5")
    assert read_params("download", DownloadParams).unlabelled_value == -7
    shutil.copy("mine.h5", "other.h5")
    assert "  download.unlabelled_value: null" in use(capsys, "other.h5")


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
        ("other.csv", "found the columns name, flux, missing id, ra, dec"),
    ],
)
def test_what_cannot_be_used_says_what_could(folder: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_picture(folder / "flat" / "a.png")
    (folder / "notes.docx").write_text("?")
    (folder / "other.csv").write_text("name,flux\na,1\n")
    assert main(["use", name]) == 1
    assert message in capsys.readouterr().err
