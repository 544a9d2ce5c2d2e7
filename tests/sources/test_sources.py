"""Every source ends in the same schema: copied, downloaded, simulated or imported; what cannot be had says what to do."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ruamel.yaml import YAML

from galaxies import __main__ as command
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.files import file_sha256
from galaxies.sources.sources import GALAXY10_SHA256, GALAXY10_URL, copy_hdf5, digest, simulate
from stages import download, run_stage, split, user_path
from tests.pipelines import REPOSITORY
from tests.servers import Server, cut, refuse, send, serve
from tests.toys import toy_images, write_toy_galaxies

NUM_GALAXIES = 70  # More than one block.
IMAGES = toy_images(NUM_GALAXIES, size=8)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Make a file in the schema as others write them: compressed, chunked, labels of another type."""
    path = tmp_path / "original.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(9, 8, 4, 3), compression="gzip")
        file["ans"] = np.arange(NUM_GALAXIES) % 3
        file["ra"] = np.arange(NUM_GALAXIES, dtype=np.float32)
        file["redshift"] = np.where(np.arange(NUM_GALAXIES) == 5, np.nan, 0.1)
        file["ids"] = [f"obj {index}" for index in range(NUM_GALAXIES)]
        file.attrs["class_names"] = ["a", "b", "c"]
    return path


def test_a_copy_has_every_column_and_shares_nothing(original: Path, tmp_path: Path) -> None:
    """DVC makes outs read-only: a hard link would make the user's own file read-only."""
    before = original.read_bytes()
    out = tmp_path / "out" / "galaxies.h5"
    copy_hdf5(out, path=original, sha256=digest(original))
    with GalaxyFile(out) as galaxies:
        np.testing.assert_array_equal(galaxies.read_images(np.arange(NUM_GALAXIES)), IMAGES)
        assert galaxies.labels.tolist() == [index % 3 for index in range(NUM_GALAXIES)]
        assert galaxies.ra.tolist() == list(range(NUM_GALAXIES))
        assert np.flatnonzero(np.isnan(galaxies.redshift)).tolist() == [5]
        assert np.isnan(galaxies.dec).all()
        assert galaxies.ids[69].as_py() == "obj 69"
        assert galaxies.class_names == ("a", "b", "c")
    with h5py.File(out) as file:
        assert file["images"].chunks is None
    assert (original.stat().st_nlink, out.stat().st_nlink) == (1, 1)
    out.chmod(0o444)
    assert original.read_bytes() == before


def test_positions_of_a_copy_follow_the_rules_of_catalogues(original: Path, tmp_path: Path) -> None:
    with h5py.File(original, "a") as file:
        file["ra"][:3] = [-10.5, -99, np.nan]
        file["dec"] = np.zeros(NUM_GALAXIES)
    copy_hdf5(tmp_path / "out.h5", path=original, sha256="any")
    with GalaxyFile(tmp_path / "out.h5") as galaxies:
        np.testing.assert_array_equal(galaxies.ra[:4], [349.5, np.nan, np.nan, 3])
    with h5py.File(original, "a") as file:
        file["dec"][7] = 100
    with pytest.raises(
        InputError, match=r"original\.h5: dec, row 8: found 100, expected degrees from -90 to 90; NaN is unknown"
    ):
        copy_hdf5(tmp_path / "out.h5", path=original, sha256="any")


def test_the_digest_of_a_local_file_is_asked_for_with_the_value_to_set(original: Path, tmp_path: Path) -> None:
    out, right = tmp_path / "out.h5", file_sha256(original)
    for wrong in (None, "0" * 64):
        with pytest.raises(InputError, match=rf"download\.sha256: .*original\.h5 has {right}.*-S download\.sha256={right}`"):
            copy_hdf5(out, path=original, sha256=wrong)
    assert not out.exists()


def test_any_as_digest_copies_with_a_warning(original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        copy_hdf5(tmp_path / "out.h5", path=original, sha256="any")
    assert "a change of" in caplog.text


def test_a_local_file_that_is_not_there_or_is_the_out_is_named(tmp_path: Path) -> None:
    out = tmp_path / "galaxies.h5"
    with pytest.raises(InputError, match=r"download\.path: there is no file .*absent\.h5; a relative path is relative to"):
        copy_hdf5(out, path=tmp_path / "absent.h5", sha256="any")
    with pytest.raises(InputError, match=r"download\.path: .*galaxies\.h5 is what this stage writes; keep your file elsewhere"):
        copy_hdf5(out, path=tmp_path / "x" / ".." / "galaxies.h5", sha256="any")


def test_a_broken_local_file_leaves_no_out(original: Path, tmp_path: Path) -> None:
    original.write_bytes(original.read_bytes()[:-500])
    with pytest.raises(InputError, match="is truncated or not an HDF5 file"):
        copy_hdf5(tmp_path / "out.h5", path=original, sha256="any")
    assert not (tmp_path / "out.h5").exists()


def test_a_survey_too_large_for_the_disk_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Simulating 10000000 galaxies needs .* TiB in .*, but only"):
        simulate(tmp_path / "out.h5", num_galaxies=10_000_000, image_size=2048, seed=0, unlabelled_fraction=0, num_workers=0)


def test_the_digest_command_prints_what_the_errors_ask_for(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrections = tmp_path / "corrections.csv"
    corrections.write_text("id,label\nobj 1,b\n")
    for path in (original, corrections):
        assert command.main(["digest", str(path)]) == 0
        assert capsys.readouterr().out == f"{file_sha256(path)}\n"
    assert command.main(["digest", str(tmp_path / "absent")]) == 1
    assert "ERROR: There is no file or folder" in capsys.readouterr().err


# From here on through the stage, as a user calls it.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository's folder the present one, with the committed parameters in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def write_params(folder: Path, **changes: Any) -> None:
    yaml = YAML()
    params = yaml.load(REPOSITORY / "params.yaml")
    params["download"].update(changes)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)


@pytest.fixture(scope="module")
def galaxy10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the file that the server has: ten classes, large enough to be cut anywhere."""
    path = tmp_path_factory.mktemp("server") / "file.h5"
    write_toy_galaxies(path, toy_images(60, size=32), num_classes=10)
    return path


@pytest.fixture
def server(galaxy10: Path) -> Iterator[Server]:
    """Run a server that sends Galaxy10."""
    with serve() as running:
        running.answers = [send(galaxy10.read_bytes())]
        yield running


def test_the_address_and_digest_of_galaxy10_are_the_published_ones() -> None:
    assert GALAXY10_URL.startswith("https://zenodo.org/records/10845026/")
    assert GALAXY10_SHA256.startswith("19aefc477c41bb7f")
    assert len(GALAXY10_SHA256) == 64


def test_galaxy10_is_downloaded_and_kept_until_split_has_opened_it(folder: Path, server: Server, galaxy10: Path) -> None:
    write_params(folder, source="galaxy10_decals", url=server.url, sha256=file_sha256(galaxy10))
    download.main()
    assert (folder / "data" / "galaxies.h5").read_bytes() == galaxy10.read_bytes()
    (folder / "data" / "galaxies.h5").unlink()  # As DVC does when it is killed while it hashes.
    download.main()
    assert len(server.ranges) == 1
    split.main()
    assert list((folder / ".dvc" / "tmp" / "download").iterdir()) == []
    assert json.loads((folder / "metrics" / "data.json").read_text())["galaxies"] == 60


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(refuse(404), "the server answers 404 Not Found", id="not-there"),
        pytest.param(send(b"<html>Please log in</html>"), "cannot be read as HDF5", id="a-web-page"),
    ],
)
def test_a_download_that_fails_says_how_else_to_get_the_file(folder: Path, server: Server, answer: Any, message: str) -> None:
    server.answers = [answer]
    write_params(folder, source="galaxy10_decals", url=server.url, sha256="any")
    with pytest.raises(
        InputError, match=rf"{message}.*get the file by other means and use `-S download\.source=hdf5 -S download"
    ):
        download.main()
    assert not (folder / "data").exists()


def test_another_address_or_digest_continues_no_download(folder: Path, server: Server, galaxy10: Path) -> None:
    server.answers = [cut(5000, content=galaxy10.read_bytes()), refuse(404), send(galaxy10.read_bytes())]
    write_params(folder, source="galaxy10_decals", url=server.url, sha256="0" * 64)
    with pytest.raises(InputError, match="404"):
        download.main()
    write_params(folder, source="galaxy10_decals", url=server.url, sha256=file_sha256(galaxy10))
    download.main()
    assert server.ranges == [None, "bytes=5000-", None]


def test_relative_paths_and_scratch_are_those_of_the_main_repository(
    folder: Path, server: Server, galaxy10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC runs `--temp` and `--queue` in a copy elsewhere, and names the main repository in DVC_ROOT."""
    main, copy = folder / "main", folder / "copy"
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(main))
    assert user_path("mine.h5") == main / "mine.h5"
    assert user_path("/abs/mine.h5") == Path("/abs/mine.h5")
    assert user_path("~/mine.h5") == Path.home() / "mine.h5"
    server.answers = [cut(100, content=galaxy10.read_bytes()), refuse(404)]
    write_params(copy, source="galaxy10_decals", url=server.url, sha256=file_sha256(galaxy10))
    with pytest.raises(InputError, match="404"):
        download.main()
    assert len(list(main.glob(".dvc/tmp/download/*/galaxies.h5.partial"))) == 1


def test_the_stage_says_how_many_positions_are_known(original: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(original, "a") as file:
        file["dec"] = np.where(np.arange(NUM_GALAXIES) < 9, np.nan, 0.0)
    write_params(folder, source="hdf5", path=str(original), sha256="any")
    with caplog.at_level(logging.INFO, "galaxies"):
        download.main()
    assert "positions of 61 of 70 galaxies are known" in caplog.text


def test_a_mistake_ends_a_stage_with_one_sentence(folder: Path) -> None:
    write_params(folder, source="hdf5", path="absent.h5")
    with pytest.raises(SystemExit, match=r"^\nERROR: download\.path: there is no file .*absent\.h5; a relative path"):
        run_stage(download.main)
