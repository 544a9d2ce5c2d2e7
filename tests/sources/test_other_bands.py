"""FITS of other bands than g, r and z: trained on as they are, predicted as they were trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

import galaxies
from galaxies.data.bands import Channels
from galaxies.data.field_of_view import FieldOfView, find_field, read_field, write_field
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.stretch import choose_flux_scales
from galaxies.errors import InputError
from galaxies.evaluation.predictions import PROBABILITY_PREFIX
from galaxies.params import parse_section
from galaxies.prediction.run import PredictOptions, predict_inputs
from galaxies.sources.decoding import Decoded, decode
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.image_reader import ImageReader, ReadOptions
from galaxies.sources.inputs import list_inputs
from galaxies.sources.sources import digest, import_images
from tests.predicting import save_toy_head
from tests.sources.test_training_like_prediction import fluxes
from tests.toys import run_extract

UGRIZ = ("u", "g", "r", "i", "z")
FIVE: dict[str, Any] = {"mean": (0.2,) * 5, "std": (0.1,) * 5}


def planes(size: int, seed: int, num_bands: int = 5) -> NDArray[np.float32]:
    """Return a galaxy in some bands, (C, S, S) nanomaggies, brighter from band to band."""
    galaxy = fluxes(size, seed)[1]
    return np.stack([galaxy * (0.3 + 0.2 * band) for band in range(num_bands)]).astype(np.float32)


def save_extensions(file: Path, size: int, seed: int, bands: Sequence[str] = UGRIZ) -> None:
    """Write an extension a band, in an order of its own, with its errors beside."""
    file.parent.mkdir(parents=True, exist_ok=True)
    hdus = [fits.PrimaryHDU()]
    for band, plane in sorted(zip(bands, planes(size, seed, len(bands)), strict=True), key=lambda pair: pair[0]):
        header = fits.Header({"FILTER": band, "BUNIT": "nanomaggy", "PIXSCALE": 0.262})
        hdus += [fits.ImageHDU(plane, header), fits.ImageHDU(np.abs(plane), header, name=f"ERR_{band}")]
    fits.HDUList(hdus).writeto(file)


def save_bands(folder: Path, stem: str, size: int, seed: int, bands: Sequence[str] = UGRIZ) -> list[str]:
    """Write a file a band."""
    folder.mkdir(parents=True, exist_ok=True)
    for band, plane in zip(bands, planes(size, seed, len(bands)), strict=True):
        header = fits.Header({"FILTER": band, "BUNIT": "nanomaggy", "PIXSCALE": 0.262})
        fits.writeto(folder / f"{stem}-{band}.fits", plane, header)
    return [f"{stem}-{band}.fits" for band in bands]


def mixed(folder: Path, sizes: Sequence[int] = (40, 40, 40)) -> Path:
    """Make a catalogue of the ways in which five bands come: extensions, a cube without names, a file a band."""
    save_extensions(folder / "a.fits", sizes[0], 0)
    fits.writeto(folder / "b.fits", planes(sizes[1], 1), fits.Header({"BUNIT": "nanomaggy", "PIXSCALE": 0.262}))
    names = save_bands(folder, "c", sizes[2], 2)
    header = ",".join(["id,label,path", *(f"path_{band}" for band in UGRIZ)])
    (folder / "c.csv").write_text(f"{header}\na,x,a.fits,,,,,\nb,y,b.fits,,,,,\nc,x,,{','.join(names)}\n")
    return folder / "c.csv"


def import_into(out: Path, path: Path, **params: Any) -> tuple[NDArray[Any], FieldOfView]:
    """Return all images, and the field that a head would know."""
    settings = parse_section(DownloadParams, {"source": "images", "path": str(path), "sha256": "any", **params}, "download")
    import_images(out, path=path, params=settings, num_threads=2)
    with GalaxyFile(out) as file:
        images = file.read_images(np.arange(file.num_galaxies))
        field = find_field(file.image_size, file.pxscale, file.framed_pxscale, file.channels)
    return images, field


def predict_files(path: Path, field: FieldOfView, options: ReadOptions | None = None) -> list[Decoded]:
    return decode(list(list_inputs(str(path), bands=field.channels.names_of_files)), field, options)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("params", [{}, {"image_size": 48}, {"image_size": 40, "field_arcsec": 12.5}], ids=str)
def test_five_bands_are_the_same_in_training_and_prediction(tmp_path: Path, params: dict[str, Any], dtype: str) -> None:
    path = mixed(tmp_path, (40, 64, 33) if params else (40, 40, 40))
    images, field = import_into(tmp_path / "out.h5", path, bands=list(UGRIZ), dtype=dtype, **params)
    assert images.shape == (3, field.image_size, field.image_size, 5)
    assert images.dtype == dtype
    assert field.channels.bands == UGRIZ
    assert field.channels.flux_scales == choose_flux_scales(UGRIZ)
    for one, image in zip(predict_files(path, field), images, strict=True):
        assert one.image is not None, one
        assert one.image.dtype == dtype
        np.testing.assert_array_equal(one.image, image, err_msg=one.entry.id)
    some = predict_files(path, field, ReadOptions(bands=("z", "r", "g")))
    for one, image in zip(some, images, strict=True):
        assert one.image is not None, one
        assert one.image.flags.c_contiguous
        np.testing.assert_array_equal(one.image, image[..., [4, 2, 1]], err_msg=one.entry.id)


def test_each_band_is_where_its_name_says(tmp_path: Path) -> None:
    """Extensions stand in another order in the file; a galaxy that is brighter in z is so in the fifth channel."""
    images, _ = import_into(tmp_path / "out.h5", mixed(tmp_path), bands=list(UGRIZ))
    scales = np.array(choose_flux_scales(UGRIZ)) * (0.3 + 0.2 * np.arange(5))
    for image in images:
        centre = image[18:22, 18:22].mean(axis=(0, 1))
        assert np.argsort(centre).tolist() == np.argsort(scales).tolist()


def test_class_folders_hold_a_file_a_band_too(tmp_path: Path) -> None:
    for name in "ab":
        for seed in range(2):
            save_bands(tmp_path / "in" / name, f"m{seed}", 40, seed, ("VIS", "NIR_Y"))
    images, field = import_into(tmp_path / "out.h5", tmp_path / "in", bands=["VIS", "NIR_Y"])
    assert images.shape == (4, 40, 40, 2)
    with GalaxyFile(tmp_path / "out.h5") as file:
        assert file.ids.to_pylist() == ["a/m0", "a/m1", "b/m0", "b/m1"]
        assert file.read_pictures(np.array([0])).shape == (1, 40, 40, 3)
    found = predict_files(tmp_path / "in", field)
    for one, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(one.image, image)
    assert digest(tmp_path / "in", bands=("VIS", "NIR_Y")) != digest(tmp_path / "in")


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize(("layer", "keep"), [("layer1", False), ("input", True)])
def test_files_of_five_bands_are_predicted_by_their_head(tmp_path: Path, dtype: str, layer: str, keep: bool) -> None:
    """From FITS to the probabilities that training knows, also through images that are kept as they are."""
    for number in range(40):
        save_extensions(tmp_path / "in" / "ab"[number % 2] / f"{number:02d}.fits", 30 + number % 3, number)
    images, field = import_into(tmp_path / "out.h5", tmp_path / "in", bands=list(UGRIZ), dtype=dtype, image_size=32)
    (tmp_path / "out.h5").rename(tmp_path / "galaxies.h5")
    changes = {**FIVE, "bands": UGRIZ, "image_size": 32}
    expected = save_toy_head(tmp_path, field=field, images=images, layer=layer, keep=keep, **changes)
    model = galaxies.load(tmp_path / "models", device="cpu")
    assert model.trained.field == field
    predict_inputs(str(tmp_path / "in"), tmp_path / "p.csv", model, PredictOptions(batch_size=7))
    found = pd.read_csv(tmp_path / "p.csv").filter(like=PROBABILITY_PREFIX).to_numpy()
    # What is kept of an image of floats has 11 bits.
    np.testing.assert_allclose(found, expected, atol=2e-3 if layer == "input" and dtype == "float16" else 1e-4)


def test_greyscale_zoobot_sees_one_band_of_fits(tmp_path: Path) -> None:
    for number in range(4):
        save_extensions(tmp_path / "in" / "ab"[number % 2] / f"{number}.fits", 40, number, ("VIS",))
    images, field = import_into(tmp_path / "galaxies.h5", tmp_path / "in", bands=["VIS"])
    assert images.shape == (4, 40, 40, 1)
    stored = run_extract(tmp_path, images, backbone="zoobot-greyscale-nano", layers=("stages.0",), bands=("VIS",))
    assert list(stored) == ["stages.0"]
    assert all(one.notes == () for one in predict_files(tmp_path / "in", field))


def test_one_image_of_another_band_is_taken_with_a_note(tmp_path: Path) -> None:
    save_extensions(tmp_path / "in" / "a" / "0.fits", 40, 0, ("VIS",))
    save_extensions(tmp_path / "other.fits", 40, 0, ("F814W",))
    fits.writeto(tmp_path / "plain.fits", planes(40, 0, 1)[0], fits.Header({"BUNIT": "nanomaggy", "PIXSCALE": 0.262}))
    _, field = import_into(tmp_path / "out.h5", tmp_path / "in", bands=["VIS"])
    for name, note in (
        ("other.fits", "the image is of F814W, and VIS is asked for: it is taken for that"),
        ("plain.fits", "the band has no name: taken as VIS"),
    ):
        (one,) = predict_files(tmp_path / name, field)
        assert one.notes == (note,)


def test_a_single_band_may_be_seen_several_times(tmp_path: Path) -> None:
    """As in extract.bands=[VIS,VIS,VIS]: the image that training took was refused."""
    save_extensions(tmp_path / "other.fits", 40, 0, ("F814W",))
    channels = Channels(("VIS",), "uint8", choose_flux_scales(("VIS",)))
    with ImageReader(None, ReadOptions(channels=channels)) as one:
        wanted = one.read([tmp_path / "other.fits"])
    with ImageReader(None, ReadOptions(channels=channels, bands=("VIS", "VIS", "VIS"))) as three:
        found = three.read([tmp_path / "other.fits"])
    assert found.pixels.shape == (40, 40, 3)
    assert (found.pixels == wanted.pixels).all()
    assert found.notes == wanted.notes


def test_one_image_of_another_band_is_not_taken_for_one_of_several(tmp_path: Path) -> None:
    """It was taken for r where one band of several was asked for, even an image of z."""
    channels = Channels(("g", "r", "i"), "uint8", choose_flux_scales(("g", "r", "i")))
    save_extensions(tmp_path / "z.fits", 40, 0, ("z",))
    save_extensions(tmp_path / "r.fits", 40, 0, ("r",))
    with ImageReader(None, ReadOptions(channels=channels, bands=("r",))) as reader:
        assert reader.read([tmp_path / "r.fits"]).pixels.shape == (40, 40, 1)
        with pytest.raises(InputError, match=r"found the bands z .*, expected r by name"):
            reader.read([tmp_path / "z.fits"])


def test_what_has_not_the_bands_says_which_it_has(tmp_path: Path) -> None:
    _, field = import_into(tmp_path / "out.h5", mixed(tmp_path), bands=list(UGRIZ))
    save_extensions(tmp_path / "three.fits", 40, 0, ("g", "r", "z"))
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    for name, message in (
        ("three.fits", "found the images HDU 1 (g), HDU 3 (r), HDU 5 (z) (beside ERR_G, ERR_R, ERR_Z, which by their names"),
        ("a.png", "a picture has no bands u, g, r, i, z; expected is a FITS file"),
    ):
        (one,) = predict_files(tmp_path / name, field)
        assert str(one.error).startswith(message)


def test_a_head_of_bands_that_others_made_wants_them_made_likewise(tmp_path: Path) -> None:
    images, field = import_into(tmp_path / "a.h5", mixed(tmp_path), bands=list(UGRIZ))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs["flux_scales"]
    with GalaxyFile(tmp_path / "a.h5") as file:
        unknown = find_field(40, file.pxscale, None, file.channels)
    (one, *_) = predict_files(tmp_path / "c.csv", unknown)
    assert "were not made of fluxes by this program: how is not known; give an HDF5 file" in str(one.error)
    for known in (unknown, field):
        (one, *_) = predict_files(tmp_path / "a.h5", known)
        np.testing.assert_array_equal(one.image, images[0])


@pytest.mark.parametrize("bands", [None, ["u", "VIS"]])
def test_the_field_comes_back_with_its_channels(tmp_path: Path, bands: list[str] | None) -> None:
    """Of pictures it says nothing more than version 0.1 did."""
    params = parse_section(DownloadParams, {"source": "images", "path": "a", "bands": bands}, "download")
    field = FieldOfView(32, 0.5, 0.4, 0.6, channels=params.channels)
    write_field(tmp_path / "field.json", field)
    assert read_field(tmp_path / "field.json") == field
    assert ("channels" in (tmp_path / "field.json").read_text()) == (bands is not None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bands": ["u", "U"]}, r"bands: found \['u', 'U'\], allowed are 1 to 8 names that differ, also in lower case"),
        ({"bands": []}, r"bands: found \[\], allowed are 1 to 8 names"),
        ({"bands": list("abcdefghi")}, "allowed are 1 to 8 names"),
        ({"bands": ["R", "G", "B"]}, "which are the channels of pictures; allowed is null"),
        ({"dtype": "float16"}, r"dtype: found float16, but pictures \(bands: null\) are uint8"),
        ({"bands": ["u"], "source": "hdf5"}, "but the source hdf5 has its own; allowed is null"),
    ],
)
def test_bands_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_section(DownloadParams, {"source": "images", "path": "a", "sha256": "any", **values}, "download")


def test_scales_that_are_none_are_refused(tmp_path: Path) -> None:
    import_into(tmp_path / "a.h5", mixed(tmp_path), bands=list(UGRIZ))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["flux_scales"] = [1.0, -1.0]
    with pytest.raises(InputError, match=r"flux_scales: found \[1\.0, -1\.0\], expected a number above 0 for each band"):
        GalaxyFile(tmp_path / "a.h5")
