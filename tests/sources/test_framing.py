"""An image of known scale comes to show the field of the training images; any other is taken as it is, and says so."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.field_of_view import FieldOfView, read_field, write_field
from galaxies.errors import InputError
from galaxies.sources import framing

FIELD = FieldOfView(image_size=64, pxscale=0.5, finest=0.5, coarsest=1.0)  # 32 arcsec across


def frame_image(
    image: NDArray[np.uint8], pxscale: float, field: FieldOfView | None, **options: bool
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return the framed image and the notes' texts."""
    framed, notes = framing.frame_image(image, pxscale, field, **options)
    return framed, [note.text for note in notes]


def disc(size: int, radius: float) -> NDArray[np.uint8]:
    """Return a white disc of a radius in px on a dark sky of 30, (size, size, 3)."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    return np.where(np.hypot(x, y)[..., None] < radius, np.uint8(255), np.uint8(30)).repeat(3, axis=2)


def radius_of(image: NDArray[np.uint8]) -> float:
    return float(np.sqrt((image[..., 0] > 140).sum() / np.pi))


def test_the_field_is_the_median_of_what_is_known() -> None:
    field = FieldOfView.of_images(256, np.array([0.262, np.nan, 0.262, 0.524]))
    assert field == FieldOfView(256, 0.262, 0.262, 0.524)
    assert field.arcsec == pytest.approx(67.07, abs=0.01)
    assert FieldOfView.of_images(256, np.array([np.nan])).arcsec is None


@pytest.mark.parametrize("field", [FIELD, FieldOfView(64, None, None, None)], ids=["known", "unknown"])
def test_the_field_comes_back_from_its_file(tmp_path: Path, field: FieldOfView) -> None:
    write_field(tmp_path / "field.json", field)
    assert read_field(tmp_path / "field.json") == field


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "There is no file .*dvc repro split"), ("[]", "not what the stage split writes"), ('{"a": 1}', "Do not edit it")],
)
def test_another_file_is_not_taken_for_a_field(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "field.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_field(tmp_path / "field.json")


@pytest.mark.parametrize("pxscale", [0.1, 0.25, 0.7, 1.3])
def test_a_galaxy_gets_the_size_it_would_have_in_training(pxscale: float) -> None:
    """A disc of 6 arcsec has a radius of 12 px in training, whatever the scale and size it comes in."""
    framed, (note,) = frame_image(disc(200, 6 / pxscale), pxscale, FIELD)
    assert framed.shape == (64, 64, 3)
    assert radius_of(framed) == pytest.approx(12, abs=0.7)
    assert "arcsec" in note


def test_an_image_of_a_smaller_field_is_surrounded_by_its_own_sky() -> None:
    framed, notes = frame_image(disc(40, 12), 0.5, FIELD)
    assert notes == ["shows 20.0 of 32.0 arcsec: the rest is filled with the colour of its border"]
    assert framed.shape == (64, 64, 3)
    assert radius_of(framed) == pytest.approx(12, abs=0.5)
    assert (framed[:10] == 30).all()


FRAMED = FieldOfView.of_framed_images(48, 0.5)  # 24 arcsec across


@pytest.mark.parametrize("size", [20, 48, 200, 2000])
@pytest.mark.parametrize("pxscale", [np.nan, 0.1, 0.5, 0.7])
def test_where_training_images_were_brought_to_one_size_all_are(size: int, pxscale: float) -> None:
    if size * pxscale < 4:
        pxscale = 0.3
    for field in (FRAMED, FieldOfView.of_framed_images(48, None)):
        framed, _ = frame_image(disc(size, 5), pxscale, field)
        assert framed.shape == (48, 48, 3)
    framed, _ = frame_image(disc(size, 5), pxscale, FRAMED, as_is=True)
    assert framed.shape == (48, 48, 3)


def test_an_image_of_that_size_and_scale_keeps_every_pixel() -> None:
    image = disc(48, 10)
    for pxscale in (0.5, np.nan):
        framed, _ = frame_image(image, pxscale, FRAMED)
        assert np.array_equal(framed, image)


@pytest.mark.parametrize("pxscale", [np.nan, 0.3])
def test_large_training_images_are_seen_as_large_in_prediction(pxscale: float) -> None:
    """They were made smaller in prediction alone."""
    image = disc(1500, 300)
    field = FieldOfView.of_images(1500, np.array([pxscale]))
    framed, _ = frame_image(image, pxscale, field)
    assert np.array_equal(framed, image)


@pytest.mark.parametrize("pxscale", [0.5, 0.8, 1.0])
def test_an_image_like_those_of_training_keeps_every_pixel(pxscale: float) -> None:
    image = disc(64, 10)
    framed, notes = frame_image(image, pxscale, FIELD)
    assert np.array_equal(framed, image)
    assert notes == []


@pytest.mark.parametrize(
    ("pxscale", "field", "note"),
    [
        (np.nan, FIELD, "no pixel scale: taken as it is"),
        (0.3, None, "pixel scale not used"),
        (0.3, FieldOfView(64, None, None, None), "pixel scale not used"),
    ],
)
def test_without_a_scale_the_image_is_taken_as_it_is(pxscale: float, field: FieldOfView | None, note: str) -> None:
    image = disc(50, 10)
    framed, notes = frame_image(image, pxscale, field)
    assert np.array_equal(framed, image)
    assert note in notes[0]


def test_an_image_that_is_said_to_be_the_field_is_taken_whole() -> None:
    """A JWST cutout of 8 arcsec: framed by its scale, the galaxy would be a speck."""
    image = disc(50, 10)
    framed, notes = frame_image(image, 0.03, FIELD, as_is=True)
    assert np.array_equal(framed, image)
    assert notes == ["taken as it is, as was asked for; it shows 1.5 arcsec"]
    assert frame_image(image, np.nan, FIELD, as_is=True)[1] == ["taken as it is, as was asked for"]


def test_an_image_that_is_not_square_loses_its_longer_ends() -> None:
    image = np.concatenate([np.zeros((5, 20, 3), np.uint8), disc(20, 5), np.zeros((6, 20, 3), np.uint8)])
    framed, notes = frame_image(image, np.nan, None)
    assert np.array_equal(framed, disc(20, 5))
    assert "cropped from 20 x 31 px" in notes[0]


def test_a_huge_image_is_made_small_before_it_waits_in_memory() -> None:
    framed, _ = frame_image(disc(1500, 300), np.nan, None)
    assert framed.shape == (1024, 1024, 3)
    assert radius_of(framed) == pytest.approx(300 * 1024 / 1500, abs=2)


def test_an_absurd_scale_is_refused() -> None:
    with pytest.raises(InputError, match="is the pixel scale right"):
        frame_image(disc(50, 10), 100.0, FIELD)
    with pytest.raises(InputError, match=r"the image shows 5e-08 arcsec, the training images show 32.0; is the pixel scale"):
        frame_image(disc(50, 10), 1e-9, FIELD)


@pytest.mark.parametrize("pxscale", [0.0, -0.3, -np.inf])
def test_a_scale_of_nothing_is_refused(pxscale: float) -> None:
    with pytest.raises(InputError, match=r"pxscale: found .*, expected arcsec/px above 0"):
        frame_image(disc(50, 10), pxscale, FIELD)


@pytest.mark.parametrize("shape", [(3, 3), (1, 500), (2000, 7)])
def test_an_image_of_a_few_pixels_is_no_galaxy(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"{min(shape)} x {min(shape)} px show no galaxy, expected are at least 8 x 8"):
        frame_image(np.zeros((*shape, 3), np.uint8), np.nan, FIELD)
