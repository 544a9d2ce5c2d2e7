"""Whatever happens to the disk, the files or the processes: a clear error or none, and in the end the same bytes."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.errors import InputError
from galaxies.files import explain_disk_errors
from tests import toys
from tests.pipelines import REPOSITORY
from tests.toys import EXTRACT_WORK, run_extract, toy_images, tree_bytes
from tests.users import plain_user

NUM_GALAXIES = 1100
"""Three shards of 512 rows, the last one short; 128 KiB each."""


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return toy_images(NUM_GALAXIES, size=16)


@pytest.fixture(scope="module")
def whole(images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run; its work folder is still there."""
    folder = tmp_path_factory.mktemp("whole")
    extract_bytes(folder, images)
    return folder


@pytest.fixture(scope="module")
def expected(whole: Path) -> dict[str, bytes]:
    return tree_bytes(whole / "features" / "layer1.zarr")


def extract_bytes(folder: Path, images: NDArray[np.uint8]) -> dict[str, bytes]:
    return tree_bytes(run_extract(folder, images, layers=("layer1",), image_size=16, batch_size=64)["layer1"])


def shards_in_work(folder: Path) -> dict[str, int]:
    """Return the shards in the work folder, with their times of writing."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / EXTRACT_WORK).glob("*/layer1.zarr/activations/c.*.0.0")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(disk: Path) -> Path:
    """Fill a disk to the last byte; return the file to delete."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def while_reading(monkeypatch: pytest.MonkeyPatch, row: int, happen: Callable[[Path], object]) -> None:
    """Let something happen to the world just before the batch that ends with ``row`` is read."""

    class Watched(GalaxyFile):
        def read_content(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            if indices[-1] == row:
                happen(self.path)
            return super().read_content(indices)

    monkeypatch.setattr(toys, "GalaxyFile", Watched)


def test_a_work_folder_on_another_file_system_is_copied(
    tmp_path: Path, small_disk: Path, images: NDArray[np.uint8], expected: dict[str, bytes]
) -> None:
    folder = tmp_path / "repository"
    (folder / EXTRACT_WORK).parent.mkdir(parents=True)
    (folder / EXTRACT_WORK).symlink_to(small_disk)
    assert small_disk.stat().st_dev != folder.stat().st_dev
    assert extract_bytes(folder, images) == expected


def test_a_disk_that_fills_up_keeps_what_is_finished(
    tmp_path: Path,
    small_disk: Path,
    images: NDArray[np.uint8],
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "repository"
    (folder / EXTRACT_WORK).parent.mkdir(parents=True)
    (folder / EXTRACT_WORK).symlink_to(small_disk)
    # The first shard is finished by then, the last one is not.
    while_reading(monkeypatch, NUM_GALAXIES - 1, lambda _: fill_disk(small_disk))
    with pytest.raises(InputError, match=r"No space left on device; make room .*; what is finished is kept"):
        extract_bytes(folder, images)
    kept = shards_in_work(folder)
    assert "c.0.0.0" in kept
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"only .* are free; make room"):
        extract_bytes(folder, images)
    (small_disk / "ballast").unlink()
    assert extract_bytes(folder, images) == expected
    assert {name: shards_in_work(folder)[name] for name in kept} == kept


def test_a_disk_too_full_to_publish_loses_nothing_and_is_left_clean(
    tmp_path: Path, small_disk: Path, images: NDArray[np.uint8], expected: dict[str, bytes]
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "features").symlink_to(small_disk)
    (small_disk / "room").write_bytes(bytes(200_000))  # Enough to begin.
    ballast = fill_disk(small_disk)
    (small_disk / "room").unlink()
    with pytest.raises(InputError, match="No space left on device; make room and run the same command again"):
        extract_bytes(folder, images)
    assert list(small_disk.iterdir()) == [ballast]
    ballast.unlink()
    kept = shards_in_work(folder)
    assert extract_bytes(folder, images) == expected
    assert shards_in_work(folder) == kept


def test_a_file_system_that_turns_read_only_is_named(
    tmp_path: Path, small_disk: Path, images: NDArray[np.uint8], expected: dict[str, bytes]
) -> None:
    """Root may write where modes forbid it, but not here."""
    folder = tmp_path / "repository"
    (folder / EXTRACT_WORK).parent.mkdir(parents=True)
    (folder / EXTRACT_WORK).symlink_to(small_disk)
    with (
        small_disk_as(small_disk, "ro"),
        pytest.raises(InputError, match="Read-only file system; make its file system writable"),
    ):
        extract_bytes(folder, images)
    assert extract_bytes(folder, images) == expected


@contextmanager
def small_disk_as(disk: Path, mode: str) -> Iterator[None]:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def test_a_folder_without_permission_is_named(images: NDArray[np.uint8], expected: dict[str, bytes]) -> None:
    with plain_user() as folder:
        toys.write_toy_galaxies(folder / "galaxies.h5", images)
        folder.chmod(0o500)
        with pytest.raises(InputError, match=r"\.dvc.*Permission denied; make it readable and writable for you"):
            extract_bytes(folder, images)
        folder.chmod(0o700)
        assert extract_bytes(folder, images) == expected


def test_other_errors_of_the_system_are_not_taken_for_the_disk() -> None:
    with pytest.raises(FileNotFoundError), explain_disk_errors("here"):
        Path("no such file").read_bytes()


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path, images: NDArray[np.uint8], expected: dict[str, bytes]) -> None:
    toys.write_toy_galaxies(tmp_path / "galaxies.h5", images)  # It is larger than the limit.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"File too large; raise the limit on the size of a file \(`ulimit -f`\)"):
            extract_bytes(tmp_path, images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert extract_bytes(tmp_path, images) == expected


@pytest.mark.parametrize(
    "happen",
    [
        # HDF5 reads zeros where a file ends too early, and complains only at times: the digests notice.
        pytest.param(lambda path: os.truncate(path, path.stat().st_size // 2), id="truncated"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[::-1]), id="changed"),
    ],
)
def test_galaxies_that_change_under_the_run_stop_it(
    tmp_path: Path,
    images: NDArray[np.uint8],
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    happen: Callable[[Path], object],
) -> None:
    while_reading(monkeypatch, 639, happen)
    with pytest.raises(InputError, match=r"is not the one in the catalog|cannot be read"):
        extract_bytes(tmp_path, images)
    monkeypatch.undo()
    (tmp_path / "galaxies.h5").unlink()
    assert extract_bytes(tmp_path, images) == expected


def test_an_unreadable_chunk_of_galaxies_is_named(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    path = tmp_path / "galaxies.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("images", data=images[:100], chunks=(10, 16, 16, 3), compression="gzip")
        file["ans"] = np.zeros(100, np.uint8)
        start = dataset.id.get_chunk_info(4).byte_offset
    with path.open("r+b") as raw:
        raw.seek(start)
        raw.write(bytes(64))
    with pytest.raises(InputError, match=r"images \d+ to \d+ cannot be read .*the file is damaged"):
        extract_bytes(tmp_path, images[:100])


def lose_record(folder: Path) -> None:
    (folder / "layer1.record").unlink()


def lose_conditions(folder: Path) -> None:
    (folder / "conditions.json").unlink()


def truncate_shard(folder: Path) -> None:
    os.truncate(folder / "layer1.zarr/activations/c.1.0.0", 1000)


def swap_shard(folder: Path) -> None:
    shards = folder / "layer1.zarr/activations"
    (shards / "c.1.0.0").write_bytes((shards / "c.0.0.0").read_bytes())


def empty_unrecorded_shard(folder: Path) -> None:
    """Do what a power cut does: the name of the shard is on disk, its bytes are not, and the record is the older one."""
    (folder / "layer1.shards/c.1.0.0").unlink()
    os.truncate(folder / "layer1.zarr/activations/c.1.0.0", 0)


def edit_attributes(folder: Path) -> None:
    metadata = folder / "layer1.zarr/zarr.json"
    metadata.write_text(metadata.read_text().replace("resnet18", "resnet34"))


@pytest.mark.parametrize(
    "damage",
    [lose_record, lose_conditions, truncate_shard, swap_shard, empty_unrecorded_shard, edit_attributes],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_work_folder_gives_no_wrong_number(
    tmp_path: Path, images: NDArray[np.uint8], whole: Path, expected: dict[str, bytes], damage: Callable[[Path], None]
) -> None:
    """All is computed, DVC was killed while it hashed and has deleted the out; then the work copy is damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("features"))
    (work,) = (folder / EXTRACT_WORK).glob("*/")
    damage(work)
    assert extract_bytes(folder, images) == expected


def test_ctrl_c_says_how_to_continue() -> None:
    program = "import time; from stages import run_stage; run_stage(lambda: (print('ready', flush=True), time.sleep(60)))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert printed == "\nInterrupted. The same command continues: what is finished is kept.\n"
