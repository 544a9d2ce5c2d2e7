"""The simulated survey: whole, repeatable, and with what was planned in its pixels."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from galaxies.data.galaxy_writer import GalaxyBlock
from galaxies.data.splits import UNLABELLED
from galaxies.simulation.populations import draw_morphology
from galaxies.simulation.survey import choose_pixel_scale, draw_galaxy, photograph, simulate_survey
from galaxies.simulation.survey_plan import plan_survey

REPOSITORY = Path(__file__).parents[2]


def gather(**settings: Any) -> GalaxyBlock:
    blocks = list(simulate_survey(**settings))
    assert all(len(block.labels) <= 64 for block in blocks)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("images", "labels", "ra", "dec", "redshift", "pxscale")
    }
    return GalaxyBlock(**columns, ids=tuple(name for block in blocks for name in block.ids or ()))


@pytest.fixture(scope="module")
def survey() -> GalaxyBlock:
    return gather(num_galaxies=150, image_size=64, seed=0, num_workers=0)


def test_every_number_of_workers_gives_the_same_bytes(survey: GalaxyBlock) -> None:
    again = gather(num_galaxies=150, image_size=64, seed=0, num_workers=2)
    assert again.ids == survey.ids
    for name in ("images", "labels", "ra", "dec", "redshift", "pxscale"):
        np.testing.assert_array_equal(getattr(again, name), getattr(survey, name))


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_labels_that_are_left_away_change_nothing_else(fraction: float) -> None:
    whole, some = (
        gather(num_galaxies=20, image_size=32, seed=0, num_workers=0, unlabelled_fraction=share) for share in (0.0, fraction)
    )
    assert whole.labels.dtype == np.uint8
    has_none = some.labels == UNLABELLED
    assert has_none.sum() == 20 * fraction
    np.testing.assert_array_equal(some.labels[~has_none], whole.labels[~has_none])
    for name in ("images", "ra", "dec", "redshift", "pxscale"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name))


def test_another_seed_gives_other_galaxies(survey: GalaxyBlock) -> None:
    other = gather(num_galaxies=20, image_size=64, seed=1, num_workers=0)
    assert not (other.images[:, None] == survey.images[None, :20]).all(axis=(2, 3, 4)).any()


def test_rows_are_named_and_in_the_order_of_the_plan(survey: GalaxyBlock) -> None:
    plan = plan_survey(150, 64, 0)
    assert survey.ids is not None
    assert survey.ids[:2] == ("sim-000000", "sim-000001")
    assert len(set(survey.ids)) == 150
    np.testing.assert_array_equal(survey.labels, plan.labels)
    np.testing.assert_array_equal(survey.ra, plan.ra)
    np.testing.assert_array_equal(np.isnan(survey.redshift), ~plan.has_redshift)
    assert 0 < np.nanmin(survey.redshift) < np.nanmax(survey.redshift) < 0.5


def test_twins_share_every_pixel_and_differ_in_label(survey: GalaxyBlock) -> None:
    plan = plan_survey(150, 64, 0)
    second = next(row for row in range(150) if plan.scene[row] != row and plan.view[row] == 0)
    first = int(plan.scene[second])
    np.testing.assert_array_equal(survey.images[first], survey.images[second])
    assert survey.labels[first] != survey.labels[second]
    assert survey.redshift[first] == survey.redshift[second]


def test_neighbours_see_the_same_sky(survey: GalaxyBlock) -> None:
    plan = plan_survey(150, 64, 0)
    for second in np.flatnonzero(plan.view == 1):
        first, right, down = int(plan.scene[second]), plan.offset_right[second], plan.offset_down[second]
        rows, columns = np.arange(max(down, 0), 64 + min(down, 0)), np.arange(max(right, 0), 64 + min(right, 0))
        here = survey.images[first][np.ix_(rows, columns)].astype(int)
        there = survey.images[second][np.ix_(rows - down, columns - right)].astype(int)
        if here.size > 2000:  # JPEG differs, the sky does not.
            assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.9


def test_only_the_planned_images_are_blank(survey: GalaxyBlock) -> None:
    is_constant = survey.images.reshape(150, -1).std(axis=1) == 0
    np.testing.assert_array_equal(is_constant, plan_survey(150, 64, 0).is_blank)
    assert is_constant.sum() == 1


@pytest.mark.parametrize("image_size", [32, 33, 512])
def test_a_cutout_of_any_size_shows_the_same_piece_of_sky(image_size: int) -> None:
    image, pxscale = draw_galaxy(2, image_size, np.random.default_rng(0))
    assert image.shape == (image_size, image_size, 3)
    assert 67 <= pxscale * image_size <= 134.2
    middle = image[image_size * 2 // 5 : image_size * 3 // 5, image_size * 2 // 5 : image_size * 3 // 5]
    assert middle.mean() > 1.3 * np.median(image)


def test_large_galaxies_get_coarser_pixels() -> None:
    galaxy = draw_morphology(2, np.random.default_rng(0))
    scales = [choose_pixel_scale(replace(galaxy, radius_arcsec=radius), 256) for radius in (3.0, 11.0, 16.5, 40.0)]
    assert scales == pytest.approx([0.262, 0.262, 0.393, 0.524])


def test_most_galaxies_have_the_native_scale(survey: GalaxyBlock) -> None:
    assert (survey.pxscale == 67.072 / 64).mean() > 0.8


def test_both_views_of_a_scene_are_centred_on_their_galaxy() -> None:
    galaxies = [draw_morphology(2, np.random.default_rng(seed)) for seed in (0, 1)]
    for view in (0, 1):
        image = photograph(
            galaxies,
            image_size=96,
            pxscale=0.7,
            generator=np.random.default_rng(5),
            neighbour_offset=(-70, 41),
            view=view,
        )
        assert image[44:52, 44:52].mean() > 3 * np.median(image)


def test_an_abandoned_survey_leaves_no_workers() -> None:
    blocks = simulate_survey(num_galaxies=400, image_size=32, seed=0, num_workers=2)
    next(blocks)
    workers = [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    blocks.close()  # type: ignore[attr-defined]
    assert not any(worker.is_running() for worker in workers)


def test_a_killed_survey_leaves_no_workers() -> None:
    script = (
        "from galaxies.simulation.survey import simulate_survey\n"
        "if __name__ == '__main__':\n"
        "    for block in simulate_survey(num_galaxies=10**5, image_size=64, seed=0, num_workers=2): print(flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) >= 2
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def test_an_interrupt_ends_it_without_noise() -> None:
    script = (
        "from galaxies.simulation.survey import simulate_survey\n"
        "try:\n"
        "    for block in simulate_survey(num_galaxies=10**5, image_size=64, seed=0, num_workers=2): print(flush=True)\n"
        "except KeyboardInterrupt: raise SystemExit(7)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        parent.stdout.readline()
        time.sleep(0.2)
        os.killpg(parent.pid, 2)
        parent.stdout.close()
        noise = parent.stderr.read().decode()
        assert parent.wait(20) == 7, noise
    assert noise == ""
