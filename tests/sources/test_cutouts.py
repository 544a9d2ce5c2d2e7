"""Cutouts by position: politely asked for, checked, kept, continued; the same file whatever the server does meanwhile."""

import email.utils
import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.stretch import choose_flux_scales, stretch_bands
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.params import parse_section
from galaxies.sources import fetching
from galaxies.sources.cutouts import CutoutService, describe_cutouts, fetch_cutouts, find_template_complaint, list_cutouts
from galaxies.sources.download_params import DownloadParams
from galaxies.sources.fetching import Courtesy
from galaxies.sources.image_import import LeftOut
from galaxies.sources.image_reader import ReadOptions
from galaxies.sources.pace import Pace, read_retry_after
from galaxies.sources.sources import import_cutouts
from tests.cutout_server import (
    CutoutServer,
    draw,
    late,
    misbehave_at_random,
    refuse,
    send,
    serve_cutouts,
    write_positions,
)
from tests.pipelines import REPOSITORY

SIZE = 16
QUICK = Courtesy(rate_per_second=1000, concurrency=8, pause_s=0.01)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CutoutServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_cutouts() as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DownloadParams, "courtesy", QUICK)


def import_into(folder: Path, path: Path, server: CutoutServer, **changes: Any) -> Sequence[LeftOut]:
    values = {"source": "cutouts", "path": str(path), "sha256": "any", "url": server.url(), "image_size": SIZE, **changes}
    params = parse_section(DownloadParams, values, "download")
    return import_cutouts(folder / "out.h5", path=path, params=params, root=folder, num_threads=2)


def service(server: CutoutServer, kind: str = "jpg") -> CutoutService:
    return CutoutService(server.url(kind), "ls-dr9", SIZE, 0.262)


def fetch(folder: Path, path: Path, server: CutoutServer, courtesy: Courtesy = QUICK) -> list[str]:
    """Return why there is no cutout, of those of which there is none."""
    lines = list_cutouts(path, service(server))
    found = fetch_cutouts(lines, service(server), folder, courtesy, ReadOptions())
    return ["; ".join(line.errors) for line in found if line.errors]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["jpg", "fits"])
def test_cutouts_of_a_catalogue_become_galaxies(
    tmp_path: Path, server: CutoutServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = tmp_path / "c.csv"
    path.write_text("ID;RA;Dec;Label\na;187.5;12.5;x\nb;12:30:00;-12:30:00;y\nc;-10;0;x\n")
    assert import_into(tmp_path, path, server, url=server.url(kind), field_arcsec=8.0) == ()
    with GalaxyFile(tmp_path / "out.h5") as galaxies:
        assert galaxies.ids.to_pylist() == ["a", "b", "c"]
        assert galaxies.ra.tolist() == [187.5, 187.5, 350]
        assert galaxies.pxscale.tolist() == [0.5] * 3
        assert galaxies.framed_pxscale == 0.5
        images = galaxies.read_images(np.arange(3))
    asked = sorted(server.queries, key=lambda query: query["dec"])
    assert [(query["ra"], query["dec"]) for query in asked] == [
        ("187.500000", "-12.500000"),
        ("350.000000", "0.000000"),
        ("187.500000", "12.500000"),
    ]
    assert all((query["size"], query["pixscale"], query["layer"]) == ("16", "0.5", "ls-dr9") for query in server.queries)
    if kind == "jpg":
        content = draw({"ra": "187.5", "dec": "12.5", "size": "16"})
        np.testing.assert_array_equal(images[0], np.asarray(Image.open(io.BytesIO(content))))

    assert next(iter(server.agents)).startswith("galaxies (cutouts")
    assert "position" not in caplog.text  # A cutout was made for its position: nothing needs to be found in it.


@pytest.mark.usefixtures("quick")
def test_cutouts_of_other_bands_are_channels(tmp_path: Path, server: CutoutServer) -> None:
    path = tmp_path / "c.csv"
    path.write_text("id,ra,dec,label\na,187.5,12.5,x\nb,187.5,-12.5,y\n")
    import_into(tmp_path, path, server, url=server.url("fits"), bands=["z", "g"], dtype="float16")
    with GalaxyFile(tmp_path / "out.h5") as galaxies:
        assert galaxies.bands == ("z", "g")
        images = galaxies.read_images(np.arange(2))
    content = draw({"ra": "187.5", "dec": "12.5", "size": "16"}, ".fits")
    planes = np.asarray(fits.getdata(io.BytesIO(content)), np.float32)
    expected = stretch_bands(planes[[2, 0], ::-1], choose_flux_scales(("z", "g")))
    np.testing.assert_array_equal(images[0], expected.astype(np.float16))


def test_the_default_service_is_that_of_the_legacy_surveys() -> None:
    params = DownloadParams(source="cutouts", path="c.csv")
    assert params.service.fill("1.5", "-2") == (
        "https://www.legacysurvey.org/viewer/cutout.jpg?ra=1.5&dec=-2&layer=ls-dr9&pixscale=0.262&size=256"
    )
    assert DownloadParams(image_size=100, field_arcsec=50.0).service.pxscale == 0.5


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://a/{ra}/{dec}?s={size}&f={fov}&p={pixscale}&l={layer}", None),
        ("https://a/{ra}", "found the places {ra}; {ra} and {dec} are needed, and allowed are {ra}, {dec}, {pixscale}"),
        ("https://a/b", "found the places none; {ra} and {dec} are needed"),
        ("https://a/{ra}/{dec}/{zoom}", "found the places {ra}, {dec}, {zoom};"),
        ("https://a/{ra}/{dec.real}", "{dec.real}"),
        ("https://a/{ra:.2f}/{dec}", "{ra:.2f}"),
        ("https://a/{ra}/{dec", "expected '}' before end of string"),
        ("file:///a/{ra}/{dec}", "the address begins neither with https:// nor with http://"),
    ],
)
def test_a_template_is_checked_before_anything_is_asked(url: str, complaint: str | None) -> None:
    found = find_template_complaint(url)
    assert found is None if complaint is None else complaint in str(found)
    if complaint is not None:
        with pytest.raises(InputError, match=r"download\.url: "):
            parse_section(DownloadParams, {"source": "cutouts", "path": "c.csv", "url": url}, "download")


def test_a_bad_server_gives_every_cutout_in_the_end(tmp_path: Path, server: CutoutServer) -> None:
    """Errors, refusals, half files, pages of the web, pictures of another size, and slow ones."""
    path = write_positions(tmp_path / "c.csv", 150)
    assert fetch(tmp_path / "good", path, server) == []
    num_good = len(server.queries)
    server.misbehave = misbehave_at_random(0, retry_after="0")
    assert fetch(tmp_path / "bad", path, server) == []
    assert num_good == 150
    assert len(server.queries) - num_good > 160
    good = {file.name: file.read_bytes() for file in (tmp_path / "good").glob("*/*")}
    assert {file.name: file.read_bytes() for file in (tmp_path / "bad").glob("*/*")} == good
    assert len(good) == 150


def test_no_second_sees_more_requests_than_the_rate(tmp_path: Path, server: CutoutServer) -> None:
    """Those that are repeated count, and those of the run before."""
    refused: list[dict[str, str]] = []

    def refuse_some_once(number: int, query: dict[str, str]) -> Any:
        if number % 3 or query in refused:
            return None
        refused.append(query)
        return refuse(500)

    server.misbehave = refuse_some_once
    courtesy = Courtesy(rate_per_second=20, concurrency=8, pause_s=0.01)
    for number in (20, 40):
        assert fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", number), server, courtesy) == []
    assert len(server.queries) >= 50
    assert server.most_in_a_second() <= 20


def test_no_more_requests_wait_at_a_time_than_allowed(tmp_path: Path, server: CutoutServer) -> None:
    now, most = [0], [0]

    def misbehave(number: int, query: dict[str, str]) -> Any:
        def answer(handler: Any) -> None:
            now[0] += 1
            most[0] = max(most[0], now[0])
            time.sleep(0.03)
            now[0] -= 1
            send(draw(query))(handler)

        return answer

    server.misbehave = misbehave
    courtesy = Courtesy(rate_per_second=1000, concurrency=3)
    assert fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 30), server, courtesy) == []
    assert most[0] == 3


def test_a_pause_that_the_server_asks_for_is_kept_by_all(tmp_path: Path, server: CutoutServer) -> None:
    server.misbehave = lambda number, query: refuse(429, retry_after="2") if number == 5 else None
    assert fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 20), server) == []
    gaps = np.diff(np.sort(server.times))
    assert gaps.max() > 1.5
    # What was asked before the refusal arrived is not held back.
    assert np.argmax(gaps) <= 5 + QUICK.concurrency


def test_the_ways_to_ask_for_a_pause() -> None:
    assert read_retry_after("120") == 120
    assert read_retry_after(None) is read_retry_after("soon") is None
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert read_retry_after(date) == pytest.approx(60, abs=2)
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.usefixtures("quick")
def test_positions_without_coverage_are_named_or_left_out(tmp_path: Path, server: CutoutServer) -> None:
    path = write_positions(tmp_path / "c.csv", 8)
    blank = np.full((SIZE, SIZE, 3), 32, np.uint8)

    def misbehave(number: int, query: dict[str, str]) -> Any:
        if query["ra"] == "7.300000":
            return refuse(404)
        if query["ra"] == "14.600000":
            return send(_jpeg(blank))
        return None

    server.misbehave = misbehave
    with pytest.raises(InputError) as caught:
        import_into(tmp_path, path, server)
    assert "2 things must be put right" in str(caught.value)
    assert "row 2 (g1): no cutout: the server answers 404 Not Found" in str(caught.value)
    assert "row 3 (g2): no cutout: the survey does not cover it: every pixel is the same" in str(caught.value)
    num_asked = len(server.queries)
    left_out = import_into(tmp_path, path, server, on_error="leave_out")
    assert len(server.queries) == num_asked  # Nothing is asked for twice.
    assert [one.id for one in left_out] == ["g1", "g2"]
    with GalaxyFile(tmp_path / "out.h5") as galaxies:
        assert galaxies.ids.to_pylist() == ["g0", "g3", "g4", "g5", "g6", "g7"]
    (folder,) = (tmp_path / ".dvc" / "tmp" / "cutouts").glob("*/")
    assert describe_cutouts(folder) == "6 cutouts, 2 positions without"


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG")
    return content.getvalue()


@pytest.mark.usefixtures("quick")
def test_a_longer_catalogue_asks_for_what_is_new(tmp_path: Path, server: CutoutServer) -> None:
    import_into(tmp_path, write_positions(tmp_path / "c.csv", 10), server)
    import_into(tmp_path, write_positions(tmp_path / "c.csv", 13), server)
    assert len(server.queries) == 13
    import_into(tmp_path, tmp_path / "c.csv", server, layer="sdss")
    assert len(server.queries) == 26


@pytest.mark.usefixtures("quick")
def test_two_galaxies_at_one_position_are_asked_for_once(tmp_path: Path, server: CutoutServer) -> None:
    """Galaxy10 has 59 such pairs, each with two labels; split decides what becomes of them."""
    (tmp_path / "c.csv").write_text("id,ra,dec,label\na,1,2,x\nb,1.00000001,2,y\nc,3,4,y\n")
    import_into(tmp_path, tmp_path / "c.csv", server)
    assert len(server.queries) == 2
    with GalaxyFile(tmp_path / "out.h5") as galaxies:
        images = galaxies.read_images(np.arange(3))
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label,ra\na,x,1\n", "found the columns id, label, ra, missing dec; expected are id, ra and dec"),
        ("id,ra,dec,label\na,1,2,x\na,3,4,y\n", "the id 'a' stands there 2 times"),
        ("id,ra,dec,label\na,east,2,x\nb,3,4,y\n", r"row 1 \(a\): ra: found 'east', expected a number"),
        ("id,ra,dec,label\na,,2,x\nb,3,4,y\n", r"row 1 \(a\): no position \(ra and dec\)"),
        ("id,ra,dec,label\na,1,95,x\nb,3,4,y\n", r"row 1 \(a\): dec: found '95'"),
        ("id,ra,dec,label\na,1,2,Round\nb,3,4,round\n", "differ in case, spaces or leading zeros only"),
    ],
)
def test_a_wrong_catalogue_is_refused_before_anything_is_asked(
    tmp_path: Path, server: CutoutServer, text: str, message: str
) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        import_into(tmp_path, tmp_path / "c.csv", server)
    assert server.queries == []


def test_the_digest_is_that_of_the_catalogue(tmp_path: Path, server: CutoutServer) -> None:
    path = write_positions(tmp_path / "c.csv", 4)
    with pytest.raises(InputError, match=rf"-S download\.sha256={file_sha256(path)}"):
        import_into(tmp_path, path, server, sha256=None)
    assert server.queries == []


def test_a_server_that_is_down_ends_the_run_and_keeps_what_came(
    tmp_path: Path, server: CutoutServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ATTEMPTS", 2)
    monkeypatch.setattr(fetching, "_MOST_FAILURES", 5)
    server.misbehave = lambda number, query: refuse(500) if number >= 10 else None
    path = write_positions(tmp_path / "c.csv", 60)
    with pytest.raises(InputError, match=r"files in a row could not be had.*the server answers 500.*same command continues"):
        fetch(tmp_path / "cutouts", path, server)
    assert len(list((tmp_path / "cutouts").glob("*/*"))) == 10
    server.misbehave = lambda number, query: None
    num_asked = len(server.queries)
    assert fetch(tmp_path / "cutouts", path, server) == []
    assert len(server.queries) - num_asked == 50


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refuse(403), "the server answers 403 Forbidden"),
        (refuse(429, retry_after="7200"), r"wants a pause of 7200 s.*Lower download\.rate_per_second"),
    ],
)
def test_a_server_that_lets_nobody_in_is_left_alone(tmp_path: Path, server: CutoutServer, answer: Any, message: str) -> None:
    server.misbehave = lambda number, query: answer
    with pytest.raises(InputError, match=message):
        fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 50), server)
    assert len(server.queries) <= 2 * QUICK.concurrency


def test_one_cutout_that_never_comes_right_is_a_row_with_its_reason(
    tmp_path: Path, server: CutoutServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ATTEMPTS", 3)
    wrong = {
        "0.000000": (refuse(500), "the server answers 500"),
        "7.300000": (send(b"<html></html>"), "what came cannot be read"),
        "14.600000": (
            send(_jpeg(np.eye(8, dtype=np.uint8)[..., None].repeat(3, -1) * 200)),
            "what came has 8 px, asked for were",
        ),
    }
    server.misbehave = lambda number, query: wrong[query["ra"]][0] if query["ra"] in wrong else None
    reasons = fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 6), server)
    assert len(reasons) == 3
    for reason, (_, message) in zip(reasons, wrong.values(), strict=True):
        assert message in reason
        assert "after 3 attempts" in reason
    # It is not put down as absent: the next run asks again.
    server.misbehave = lambda number, query: None
    assert fetch(tmp_path / "cutouts", tmp_path / "c.csv", server) == []


def test_a_server_that_drips_does_not_hold_the_run(
    tmp_path: Path, server: CutoutServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_TIMEOUT_S", (1.0, 0.2))
    server.misbehave = lambda number, query: late(1.0, send(draw(query))) if number < 4 else None
    begin = time.monotonic()
    assert fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 20), server) == []
    assert time.monotonic() - begin < 10


def test_memory_does_not_grow_with_the_number_of_cutouts(tmp_path: Path, server: CutoutServer) -> None:
    process = psutil.Process()
    fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 100), server)
    before = process.memory_info().rss
    fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 900), server)
    # The server's own list of what it was asked is in it.
    assert process.memory_info().rss - before < 12 << 20


def start_stage(folder: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TQDM_DISABLE": "1"}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "stages.download"], cwd=folder, env=environment, stdout=log, stderr=log)


def write_stage_params(folder: Path, server: CutoutServer, *, rate: float) -> None:
    (folder / "params.yaml").write_text(
        "download:\n  source: cutouts\n  path: c.csv\n  sha256: any\n  image_size: 16\n"
        f"  url: '{server.url()}'\n  rate_per_second: {rate}\nruntime: {{}}\n"
    )


def test_killed_runs_end_in_the_same_bytes(tmp_path: Path, server: CutoutServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``benchmarks.cutout_kills`` does at length."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        write_positions(folder / "c.csv", 120)
        write_stage_params(folder, server, rate=200)
    assert start_stage(whole).wait(120) == 0, (whole / "log").read_text()
    server.misbehave = misbehave_at_random(1, retry_after="0")
    first = len(server.queries)
    for number in (20, 60):
        process = start_stage(killed)
        deadline = time.monotonic() + 60
        while len(server.queries) - first < number and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "data" / "galaxies.h5").exists()
    assert start_stage(killed).wait(120) == 0, (killed / "log").read_text()
    assert (killed / "data" / "galaxies.h5").read_bytes() == (whole / "data" / "galaxies.h5").read_bytes()
    assert not list(killed.rglob("*.tmp"))
    asked = [query["ra"] for query in server.queries[first:]]
    # At most what was in the air is asked for again, beside what the server spoilt.
    assert len(asked) < 120 * 1.3 + 2 * 8


def test_the_log_says_when_the_server_wants_a_long_pause(
    tmp_path: Path, server: CutoutServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "hold", lambda self, seconds: True)
    server.misbehave = lambda number, query: refuse(503, retry_after="30") if number == 0 else None
    with caplog.at_level(logging.WARNING):
        assert fetch(tmp_path / "cutouts", write_positions(tmp_path / "c.csv", 3), server) == []
    assert "the server wants a pause of 30 s (503 Service Unavailable)" in caplog.text
