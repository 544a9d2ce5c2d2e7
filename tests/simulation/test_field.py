"""Foreground stars and background galaxies."""

import numpy as np
import pytest

from galaxies.simulation.field import Field, add_field, draw_field


def test_an_empty_field_adds_nothing() -> None:
    canvas = np.zeros((3, 48, 60), np.float32)
    add_field(canvas, Field(num_stars=0, num_galaxies=0), pxscale=0.262, generator=np.random.default_rng(0))
    assert not canvas.any()


@pytest.mark.parametrize("shape", [(48, 48), (300, 288)])
def test_objects_stand_anywhere_on_a_canvas_of_any_size(shape: tuple[int, int]) -> None:
    canvas = np.zeros((3, *shape), np.float32)
    add_field(canvas, Field(num_stars=400, num_galaxies=400), pxscale=0.262, generator=np.random.default_rng(0))
    assert np.isfinite(canvas).all()
    assert canvas.min() >= 0
    quarters = [canvas[1, r : r + shape[0] // 2, c : c + shape[1] // 2] for r in (0, shape[0] // 2) for c in (0, shape[1] // 2)]
    assert all(np.count_nonzero(quarter) > quarter.size / 20 for quarter in quarters)


def test_objects_are_of_many_colours() -> None:
    canvas = np.zeros((3, 256, 256), np.float32)
    add_field(canvas, Field(num_stars=300, num_galaxies=0), pxscale=0.262, generator=np.random.default_rng(0))
    g, _, z = canvas[:, canvas[1] > 0.3]
    assert np.percentile(z / g, 95) > 5 * np.percentile(z / g, 10)


def test_more_sky_holds_more() -> None:
    generator = np.random.default_rng(0)
    small, large = ([draw_field(area, generator).num_galaxies for _ in range(60)] for area in (1.0, 4.0))
    assert np.mean(large) == pytest.approx(4 * np.mean(small), rel=0.3)
