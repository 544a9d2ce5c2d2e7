"""What trains is read and framed as what is predicted: the same file gives the same pixels on both ways."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

import galaxies
from galaxies.data.field_of_view import FieldOfView, find_field
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import UNLABELLED
from galaxies.data.stretch import stretch_to_rgb
from galaxies.errors import InputError
from galaxies.features.store import Store
from galaxies.sources.decoding import decode
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.image_import import LeftOut
from galaxies.sources.inputs import list_inputs
from galaxies.sources.sources import digest, import_images
from stages import download
from tests.pipelines import write_params
from tests.predicting import save_toy_head
from tests.toys import toy_images


def fluxes(size: int, seed: int) -> NDArray[np.float32]:
    """Return a bright spot on noise in three bands, (3, S, S) nanomaggies."""
    generator = np.random.default_rng(seed)
    y, x = np.indices((size, size)) - size / 2
    spot = np.exp(-np.hypot(x, y * (1 + seed % 3)) * 8 / size)
    planes = spot * np.array([0.4, 1.0, 1.6])[:, None, None] + generator.normal(0, 0.01, (3, size, size))
    result: NDArray[np.float32] = planes.astype(np.float32)
    return result


def save_fits(
    file: Path, size: int = 40, seed: int = 0, pxscale: float | None = 0.262, planes: int = 3, bands: Sequence[str] = "grz"
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    planes = min(planes, len(bands))
    header = fits.Header({"FILTER" if len(bands) == 1 else "BANDS": " ".join(bands[:planes]), "BUNIT": "nanomaggy"})
    if pxscale is not None:
        degrees = pxscale / 3600
        header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0})
        header.update({"CRPIX1": size / 2 + 0.5, "CRPIX2": size / 2 + 0.5, "CD1_1": -degrees, "CD2_2": degrees})
    fits.writeto(file, fluxes(size, seed)[:planes], header)
    return file


def save_picture(file: Path, size: int = 40, seed: int = 0, width: int | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(toy_images(1, size=max(size, width or 0), seed=seed)[0][:size, : width or size]).save(file, quality=95)
    return file


def import_into(out: Path, path: Path, **params: Any) -> Sequence[LeftOut]:
    settings = DownloadParams(**{"source": "images", "path": str(path), "sha256": "any", **params})
    return import_images(out, path=path, params=settings, num_threads=2)


def read(path: Path) -> tuple[NDArray[np.uint8], FieldOfView]:
    """Return all pixels, and the field that a head would know, whatever rows it trained on."""
    with GalaxyFile(path) as file:
        images = file.read_images(np.arange(file.num_galaxies))
        return images, find_field(file.image_size, file.pxscale, file.framed_pxscale, file.channels)


def require_equal(path: Path, images: NDArray[np.uint8], field: FieldOfView) -> None:
    """Compare training's pixels with those of prediction, of a catalogue in the same order."""
    decoded = decode(list(list_inputs(str(path))), field)
    assert len(decoded) == len(images)
    for one, image in zip(decoded, images, strict=True):
        assert one.image is not None, one
        np.testing.assert_array_equal(one.image, image, err_msg=one.entry.id)


def mixed(folder: Path, *, of_one_size: bool) -> Path:
    """Make a catalogue of every kind of input there is."""
    sizes = [40] * 6 if of_one_size else [40, 64, 33, 120, 50, 81]
    save_fits(folder / "cube.fits", sizes[0], 0)
    save_fits(folder / "unscaled.fits.gz", sizes[1], 1, pxscale=None)
    save_fits(folder / "one.fits", sizes[2], 2, pxscale=0.4, planes=1)
    save_picture(folder / "a.jpg", sizes[3], 3)
    save_picture(folder / "b.png", sizes[4], 4, width=None if of_one_size else 70)
    for band, plane in zip("grz", fluxes(sizes[5], 5), strict=True):
        fits.writeto(folder / f"m_{band}.fits", plane, fits.Header({"FILTER": band, "BUNIT": "nanomaggy"}))
    lines = ["id,path,path_g,path_r,path_z,label,pxscale"]
    lines += ["1,cube.fits,,,,x,", "2,unscaled.fits.gz,,,,x,", "3,one.fits,,,,y,", "4,a.jpg,,,,y,0.5", "5,b.png,,,,x,"]
    (folder / "c.csv").write_text("\n".join([*lines, "6,,m_g.fits,m_r.fits,m_z.fits,y,0.3"]) + "\n")
    return folder / "c.csv"


@pytest.mark.parametrize("of_one_size", [True, False])
@pytest.mark.parametrize(
    "params", [{}, {"image_size": 48}, {"image_size": 40, "field_arcsec": 12.5}, {"field_arcsec": 9.0}], ids=str
)
def test_every_kind_of_input_gives_the_same_pixels_in_training_and_prediction(
    tmp_path: Path, params: dict[str, Any], of_one_size: bool
) -> None:
    (tmp_path / "in").mkdir()
    path = mixed(tmp_path / "in", of_one_size=of_one_size)
    if not of_one_size and "image_size" not in params:
        with pytest.raises(InputError, match=r"the images have 6 sizes: .*say to which all .*-S download\.image_size=40`"):
            import_into(tmp_path / "out.h5", path, **params)
        return
    assert import_into(tmp_path / "out.h5", path, **params) == ()
    images, field = read(tmp_path / "out.h5")
    assert images.shape == (6, params.get("image_size", 40), params.get("image_size", 40), 3)
    assert field.is_framed == bool(params)
    require_equal(path, images, field)


def test_the_features_are_the_same_too(tmp_path: Path) -> None:
    """Those of a store, and those that prediction computes from the files."""
    folder = tmp_path / "in"
    for number in range(40):
        save_fits(folder / "ab"[number % 2] / f"{number:02d}.fits", 30 + number, number, pxscale=0.2 + 0.01 * number)
    import_into(tmp_path / "out.h5", folder, image_size=32)
    images, field = read(tmp_path / "out.h5")
    expected = save_toy_head(tmp_path, field=field, images=images)
    model = galaxies.load(tmp_path / "models", device="cpu")
    assert model.trained.field == field
    decoded = [one.image for one in decode(list(list_inputs(str(folder))), model.trained.field) if one.image is not None]
    stored = np.asarray(Store(tmp_path / "features" / "layer1.zarr").activations[:])[:, 0]  # (N, C) of the one view
    found = np.concatenate([model.compute_features(decoded[start : start + 8]).numpy() for start in range(0, 40, 8)])
    np.testing.assert_allclose(found, stored, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.predict(images).probabilities, expected, atol=1e-6)


def test_images_show_the_median_field_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    for number, (size, pxscale) in enumerate([(40, 0.25), (40, 0.5), (80, 0.5), (60, None)]):
        save_fits(tmp_path / "in" / "ab"[number % 2] / f"{number}.fits", size, number, pxscale)
    import_into(tmp_path / "median.h5", tmp_path / "in", image_size=50)
    import_into(tmp_path / "said.h5", tmp_path / "in", image_size=50, field_arcsec=30)
    for name, arcsec in (("median.h5", 20.0), ("said.h5", 30.0)):
        with GalaxyFile(tmp_path / name) as file:
            assert file.image_size == 50
            assert sorted(file.pxscale.tolist())[:3] == pytest.approx([arcsec / 50] * 3)
            assert np.isnan(file.pxscale).sum() == 1
        assert read(tmp_path / name)[1].arcsec == pytest.approx(arcsec)


def test_images_of_one_size_stay_as_they_are_with_their_own_scales(tmp_path: Path) -> None:
    for number, pxscale in enumerate([0.25, 0.5, 0.3, None]):
        save_fits(tmp_path / "in" / "ab"[number % 2] / f"{number}.fits", 40, number, pxscale)
    import_into(tmp_path / "out.h5", tmp_path / "in")
    with GalaxyFile(tmp_path / "out.h5") as file:
        assert file.ids.to_pylist() == ["a/0", "a/2", "b/1", "b/3"]
        assert file.pxscale.tolist()[:3] == pytest.approx([0.25, 0.3, 0.5])
        assert file.framed_pxscale is None
    assert read(tmp_path / "out.h5")[1].is_framed is False


@pytest.mark.parametrize("scales", [(0.262, 0.262), (0.2, 0.262, 0.4)], ids=str)
def test_cutouts_whose_positions_are_known_are_the_same_too(tmp_path: Path, scales: tuple[float, ...]) -> None:
    """A position is looked for in a WCS; at another scale than the median the field is a part of the image, or more."""
    lines = ["id,path,ra,dec,label"]
    for number in range(9):
        save_fits(tmp_path / f"{number}.fits", 40, number, scales[number % len(scales)])
        lines.append(f"{number},{number}.fits,150,2,{'ab'[number % 2]}")
    (tmp_path / "c.csv").write_text("\n".join(lines) + "\n")
    import_into(tmp_path / "out.h5", tmp_path / "c.csv")
    images, field = read(tmp_path / "out.h5")
    assert field.is_framed == (len(set(scales)) > 1)
    require_equal(tmp_path / "c.csv", images, field)


def test_three_bands_in_a_class_folder_are_one_galaxy(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for band, plane in zip("grz", fluxes(40, 1), strict=True):
            (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
            fits.writeto(tmp_path / "in" / name / f"m-{band}.fits", plane, fits.Header({"FILTER": band}))
    import_into(tmp_path / "out.h5", tmp_path / "in")
    with GalaxyFile(tmp_path / "out.h5") as file:
        assert file.ids.to_pylist() == ["a/m", "b/m"]


def test_a_field_of_images_without_scale_is_refused(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        save_picture(tmp_path / "in" / name)
    with pytest.raises(InputError, match=r"download\.field_arcsec is 30, but of no image the pixel scale is known; give it in"):
        import_into(tmp_path / "out.h5", tmp_path / "in", field_arcsec=30)


def broken(folder: Path) -> Path:
    """Make a catalogue in which five of ten galaxies cannot be used, each for another reason, and one has no label."""
    for number in range(8):
        save_fits(folder / f"{number}.fits", 40, number)
    (folder / "1.fits").write_bytes(b"SIMPLE  = no")
    (folder / "2.fits").write_bytes((folder / "2.fits").read_bytes()[:6000])
    lines = [f"{number},{number}.fits,{'xy'[number % 2]},0.262" for number in range(8)]
    lines[3] = "3,3.fits,nan,0.262"
    lines[4] = "4,4.fits,x,0,262"
    lines[5] = "5,5.fits,y,2000"  # The field of the others would be a part of a pixel.
    lines += ["8,absent.fits,x,0.262", "9,0.fits,x,0.262"]
    (folder / "c.csv").write_text("\n".join(["id,path,label,pxscale", *lines[:-1]]) + "\n")
    return folder / "c.csv"


def test_galaxies_that_cannot_be_used_are_all_named_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = broken(tmp_path / "in")
    with pytest.raises(InputError) as caught:
        import_into(tmp_path / "out.h5", path, image_size=32)
    for part in (
        "5 things must",
        "1.fits: ",
        "2.fits: ",
        "row 5 (): found 5 cells",
        "absent.fits: ",
    ):
        assert part in str(caught.value), str(caught.value)
    assert not (tmp_path / "out.h5").exists()
    left_out = import_into(tmp_path / "out.h5", path, image_size=32, on_error="leave_out")
    assert [one.id for one in left_out] == ["1", "2", "", "8", "5"]
    assert left_out[-1].path == "5.fits"
    assert "is the pixel scale right?" in left_out[-1].reason
    with GalaxyFile(tmp_path / "out.h5") as file:
        assert file.ids.to_pylist() == ["0", "3", "6", "7"]
        assert file.class_names == ("x", "y")
        assert file.labels.tolist() == [0, UNLABELLED, 0, 1]
    images, field = read(tmp_path / "out.h5")
    inputs = [entry for entry in list_inputs(str(path)) if entry.id in ("0", "3", "6", "7")]
    for one, image in zip(decode(inputs, field), images, strict=True):
        np.testing.assert_array_equal(one.image, image)


def counts(folder: Path) -> Path:
    """Make six galaxies in nanomaggies and two in counts without a zero point."""
    for number in range(8):
        file = save_fits(folder / "ab"[number % 2] / f"{number}.fits", 40, number)
        if number >= 6:
            with fits.open(file, "update") as hdus:
                hdus[0].data *= 10**1.8
                hdus[0].header["BUNIT"] = "count"
    return folder


def test_what_prediction_abstains_from_does_not_train(tmp_path: Path) -> None:
    """A line in the log was all that was said of counts taken for nanomaggies."""
    folder = counts(tmp_path / "in")
    with pytest.raises(
        InputError, match=r"(?s)2 things must.*6\.fits: in doubt: the unit 'count' has no zero point.*7\.fits: in"
    ):
        import_into(tmp_path / "out.h5", folder)
    assert not (tmp_path / "out.h5").exists()
    left_out = import_into(tmp_path / "out.h5", folder, on_error="leave_out")
    assert [one.id for one in left_out] == ["a/6", "b/7"]
    assert all(one.reason.startswith(f"{tmp_path / 'in'}") and "in doubt: " in one.reason for one in left_out)
    assert import_into(tmp_path / "said.h5", folder, zero_point=27.0) == ()
    images, _ = read(tmp_path / "said.h5")
    for number, place in ((6, 3), (7, 7)):
        expected = stretch_to_rgb(fluxes(40, number)[:, ::-1])
        assert np.abs(images[place].astype(int) - expected).max() <= 1


def test_blank_images_are_left_to_the_split(tmp_path: Path) -> None:
    """Prediction abstains from them too, and `split.blanks` says what becomes of them."""
    for name in ("a/1", "b/2"):
        fits.writeto(save_fits(tmp_path / "in" / f"{name}.fits"), np.zeros((3, 40, 40), np.float32), overwrite=True)
    assert import_into(tmp_path / "out.h5", tmp_path / "in") == ()


def test_what_is_left_out_counts_in_the_digest_as_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = broken(tmp_path / "in")
    with pytest.raises(InputError, match="absent"):
        digest(path)
    right = digest(path, on_error="leave_out")
    import_into(tmp_path / "out.h5", path, image_size=32, on_error="leave_out", sha256=right)
    save_fits(tmp_path / "in" / "absent.fits")
    assert digest(path, on_error="leave_out") != right


def test_an_input_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,path,label\n1,a.fits,x\n2,b.fits,y\n")
    with pytest.raises(InputError, match=r"(?s)no galaxy is left:\n.*a\.fits: there is no such file"):
        import_into(tmp_path / "out.h5", tmp_path / "c.csv", on_error="leave_out")


def test_the_stage_writes_what_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "in").mkdir()
    broken(tmp_path / "in")
    section = {"source": "images", "path": "in/c.csv", "sha256": "any", "image_size": 32, "on_error": "leave_out"}
    (tmp_path / "params.yaml").write_text("download: {}\nruntime: {}\n")
    write_params(tmp_path, download=section)
    download.main()
    lines = (tmp_path / "data" / "left_out.csv").read_text().splitlines()
    assert lines[0] == "id,path,reason"
    assert len(lines) == 6
    write_params(tmp_path, download={"source": "simulated", "path": None, "sha256": None, "num_galaxies": 20, "image_size": 16})
    download.main()
    assert (tmp_path / "data" / "left_out.csv").read_text() == "id,path,reason\n"
