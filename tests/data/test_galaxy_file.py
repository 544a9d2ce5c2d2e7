"""galaxies.h5 comes back as it was written, whatever its layout; what is not in the schema is refused in one message."""

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.galaxy_schema import GALAXY10_CLASS_NAMES
from galaxies.data.galaxy_writer import GalaxyBlock, pack_labels, write_galaxies
from galaxies.data.splits import UNLABELLED
from galaxies.errors import InputError
from tests.pipelines import REPOSITORY
from tests.toys import toy_images, write_toy_galaxies

NUM_GALAXIES = 23
IMAGES = toy_images(NUM_GALAXIES, size=8)
LABELS = (np.arange(NUM_GALAXIES) % 10).astype(np.uint8)


def write_raw(path: Path, **changes: Any) -> Path:
    """Write a file in the schema with h5py alone; None leaves an entry out, the last two of its names are attributes."""
    entries: dict[str, Any] = {"images": IMAGES, "ans": LABELS, **changes}
    with h5py.File(path, "w") as file:
        for name in ("class_names", "unlabelled_value"):
            if entries.get(name) is not None:
                file.attrs[name] = entries[name]
            entries.pop(name, None)
        for name, value in entries.items():
            if value is not None:
                file[name] = value
    return path


def read(path: Path) -> GalaxyFile:
    """Open a file and read all of it but the images."""
    with GalaxyFile(path) as galaxies:
        galaxies.check_columns()
        return galaxies


def block(start: int, stop: int) -> GalaxyBlock:
    ra, dec, redshift, pxscale = (np.arange(start, stop, dtype=np.float64) + offset for offset in (0, 0.25, 0.5, 0.75))
    redshift[0] = np.nan
    ids = tuple(f"galaxy é {index}" for index in range(start, stop))
    return GalaxyBlock(IMAGES[start:stop], LABELS[start:stop], ra, dec, redshift, pxscale, ids)


def write_blocks(path: Path, *bounds: int, num_galaxies: int = NUM_GALAXIES) -> Path:
    blocks = (block(start, stop) for start, stop in itertools.pairwise(bounds))
    write_galaxies(path, blocks, num_galaxies=num_galaxies, image_size=8, class_names=GALAXY10_CLASS_NAMES)
    return path


def test_galaxies_come_back_as_they_were_written(tmp_path: Path) -> None:
    with GalaxyFile(write_blocks(tmp_path / "a.h5", 0, 1, 16, NUM_GALAXIES)) as galaxies:
        assert (galaxies.num_galaxies, galaxies.image_size) == (NUM_GALAXIES, 8)
        assert galaxies.class_names == GALAXY10_CLASS_NAMES
        assert galaxies.ids.to_pylist() == [f"galaxy é {index}" for index in range(NUM_GALAXIES)]
        np.testing.assert_array_equal(galaxies.labels, LABELS)
        np.testing.assert_array_equal(galaxies.dec, np.arange(NUM_GALAXIES) + 0.25)
        assert np.flatnonzero(np.isnan(galaxies.redshift)).tolist() == [0, 1, 16]


def test_galaxies_are_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("galaxies.data.galaxy_file.BLOCK_GALAXIES", 5)
    with GalaxyFile(write_blocks(tmp_path / "a.h5", 0, NUM_GALAXIES)) as galaxies:
        for indices in (None, np.arange(2, NUM_GALAXIES, 2), np.arange(5), np.arange(0)):
            expected, num_images = IMAGES if indices is None else IMAGES[indices], 0
            for block, images in galaxies.blocks(indices):
                np.testing.assert_array_equal(images, expected[block])
                assert 0 < len(images) <= 5
                num_images += len(images)
            assert num_images == len(expected)


def test_the_same_galaxies_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_blocks(tmp_path / name, 0, 10, NUM_GALAXIES) for name in ("a.h5", "b.h5"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("bounds", "announced"), [((0, 10), 11), ((0, 5, 10), 9)], ids=["too few", "too many"])
def test_blocks_that_do_not_add_up_leave_no_file(tmp_path: Path, bounds: tuple[int, ...], announced: int) -> None:
    with pytest.raises((ValueError, TypeError), match=r"10 galaxies, 11 were announced|broadcast"):
        write_blocks(tmp_path / "a.h5", *bounds, num_galaxies=announced)
    assert list(tmp_path.iterdir()) == []


LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "one image a chunk, gzip": {"chunks": (1, 8, 8, 3), "compression": "gzip"},
    "auto-chunked, gzip and shuffle": {"chunks": True, "compression": "gzip", "shuffle": True},
    "odd chunks across the axes": {"chunks": (7, 3, 5, 2), "compression": "lzf"},
    "a chunk larger than the file": {"chunks": (64, 8, 8, 3), "maxshape": (None, 8, 8, 3), "fletcher32": True},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_gives_the_same_images(tmp_path: Path, layout: dict[str, Any]) -> None:
    with h5py.File(write_raw(tmp_path / "a.h5", images=None), "a") as file:
        file.create_dataset("images", data=IMAGES, **layout)
    with GalaxyFile(tmp_path / "a.h5") as galaxies:
        for indices in ([0], [22], [0, 1, 2], [3, 9, 10, 22], list(range(NUM_GALAXIES)), []):
            np.testing.assert_array_equal(galaxies.read_images(np.array(indices, np.int64)), IMAGES[indices])


def test_what_is_unknown_is_nan_and_has_names_of_its_own(tmp_path: Path) -> None:
    galaxies = read(write_raw(tmp_path / "a.h5"))
    assert galaxies.class_names == GALAXY10_CLASS_NAMES
    assert galaxies.ids.to_pylist() == [f"{index:06d}" for index in range(NUM_GALAXIES)]
    assert np.isnan([galaxies.ra, galaxies.dec, galaxies.redshift, galaxies.pxscale]).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int64, ">u2", np.uint64])
def test_labels_of_any_integer_type_are_read(tmp_path: Path, dtype: Any) -> None:
    assert read(write_raw(tmp_path / "a.h5", ans=LABELS.astype(dtype))).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("dtype", [np.float32, ">f8", np.int32])
def test_positions_of_any_number_type_are_read(tmp_path: Path, dtype: Any) -> None:
    ra = read(write_raw(tmp_path / "a.h5", ra=np.arange(NUM_GALAXIES, dtype=dtype))).ra
    assert ra.dtype == np.float64
    assert ra.tolist() == list(range(NUM_GALAXIES))


@pytest.mark.parametrize("make", [str, lambda index: f"{index}".encode(), int], ids=["text", "bytes", "integers"])
def test_ids_are_text_however_they_were_written(tmp_path: Path, make: Callable[[int], Any]) -> None:
    galaxies = read(write_raw(tmp_path / "a.h5", ids=[make(index) for index in range(NUM_GALAXIES)]))
    assert galaxies.ids.to_pylist() == [str(index) for index in range(NUM_GALAXIES)]


@pytest.mark.parametrize("kind", ["S", "O"], ids=["fixed length", "variable length"])
def test_class_names_are_text_however_they_were_written(tmp_path: Path, kind: str) -> None:
    names = [f"class {index}" for index in range(10)]
    attribute = np.array(names, dtype=h5py.string_dtype() if kind == "O" else kind)
    assert read(write_raw(tmp_path / "a.h5", class_names=attribute)).class_names == tuple(names)


def test_one_galaxy_and_one_class_are_enough(tmp_path: Path) -> None:
    galaxies = read(write_raw(tmp_path / "a.h5", images=IMAGES[:1], ans=LABELS[:1], class_names="Spiral"))
    assert (galaxies.num_galaxies, galaxies.class_names) == (1, ("Spiral",))


@pytest.mark.parametrize(
    ("ans", "attribute", "argument"),
    [([0, -1, 1, 2], -1, None), ([0, -1, 1, 2], None, -1), ([0, 255, 1, 2], 255, None), ([0, 9, 1, 2], 255, 9)],
    ids=["the file says it", "the user says it", "of a byte", "the user, against the file"],
)
def test_a_value_that_means_no_label(tmp_path: Path, ans: list[int], attribute: int | None, argument: int | None) -> None:
    path = write_raw(tmp_path / "a.h5", images=IMAGES[:4], ans=np.array(ans, np.uint8 if max(ans) > 9 else np.int8))
    if attribute is not None:
        with h5py.File(path, "r+") as file:
            file.attrs["unlabelled_value"] = attribute
    with GalaxyFile(path, unlabelled_value=argument) as galaxies:
        assert galaxies.labels.tolist() == [0, UNLABELLED, 1, 2]


def test_a_file_without_labels_has_none_and_no_classes(tmp_path: Path) -> None:
    galaxies = read(write_raw(tmp_path / "a.h5", ans=None))
    assert galaxies.labels.tolist() == [UNLABELLED] * NUM_GALAXIES
    assert galaxies.class_names == ()
    named = read(write_raw(tmp_path / "b.h5", ans=None, class_names=["x", "y"]))
    assert named.class_names == ("x", "y")


@pytest.mark.parametrize("labels", [[0, 1, -1, 2], [-1] * 4, [0, 1, 2, 2]], ids=["some", "none", "all"])
def test_galaxies_without_a_label_come_back(tmp_path: Path, labels: list[int]) -> None:
    unknown = np.full(4, np.nan)
    block = GalaxyBlock(IMAGES[:4], pack_labels(np.array(labels)), unknown, unknown, unknown, unknown)
    names = [] if max(labels) < 0 else ["a", "b", "c"]
    write_galaxies(tmp_path / "a.h5", [block], num_galaxies=4, image_size=8, class_names=names)
    galaxies = read(tmp_path / "a.h5")
    assert (galaxies.labels.tolist(), galaxies.class_names) == (labels, tuple(names))
    with h5py.File(tmp_path / "a.h5") as file:
        # A file of labelled galaxies alone has the bytes that it always had.
        assert (file["ans"].dtype == np.uint8, "unlabelled_value" in file.attrs) == (min(labels) == 0, min(labels) < 0)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing of it": ({"images": None, "ans": None, "x": LABELS}, "missing: images; found are x"),
    "a group": ({"images": None, "images/deeper": IMAGES}, "images: found a group"),
    "float images": ({"images": IMAGES / 255}, "images: found float64, expected uint8"),
    "images of objects": ({"images": np.full((NUM_GALAXIES, 2, 2, 3), "x", h5py.string_dtype())}, "images: found object"),
    "channels first": ({"images": IMAGES.transpose(0, 3, 1, 2)}, r"images: found the shape \(23, 3, 8, 8\)"),
    "not square": ({"images": IMAGES[:, :, 1:]}, r"found the shape \(23, 8, 7, 3\), expected \(N, S, S, 3\)"),
    "one image alone": ({"images": IMAGES[0]}, r"images: found the shape \(8, 8, 3\)"),
    "a number": ({"images": np.uint8(3)}, r"images: found the shape \(\)"),
    "empty": ({"images": h5py.Empty(np.uint8)}, "images: found the shape None"),
    "no galaxies": ({"images": IMAGES[:0], "ans": LABELS[:0]}, "holds no galaxies"),
    "SDSS": ({"images": np.zeros((NUM_GALAXIES, 69, 69, 3), np.uint8)}, "this is Galaxy10 SDSS.*class_names"),
    "no number for no label": ({"unlabelled_value": np.array([1.0])}, "unlabelled_value: found"),
    "float labels": ({"ans": LABELS.astype(float)}, "ans: found float64, expected an integer type"),
    "NaN labels": ({"ans": np.full(NUM_GALAXIES, np.nan)}, "ans: found float64"),
    "one-hot labels": ({"ans": np.eye(10, dtype=np.uint8)[LABELS]}, r"ans: found the shape \(23, 10\), expected \(23,\)"),
    "labels of another file": ({"ans": LABELS[1:]}, r"ans: found the shape \(22,\), expected \(23,\)"),
    "labels from one": ({"ans": LABELS + 1}, r"ans: 2 labels are outside 0 to 9 \(first: 10, galaxy 9\)"),
    "negative labels": (
        {"ans": LABELS.astype(int) - 1},
        r"outside 0 to 9 \(first: -1, galaxy 0\).*If -1 .* `-S download\.unlabelled_value=-1`",
    ),
    "labels beyond a byte": ({"ans": LABELS.astype(int) + 256}, "ans: 23 labels are outside 0 to 9"),
    "text positions": ({"ra": [str(x) for x in LABELS]}, "ra: found object, expected a number type"),
    "complex positions": ({"dec": LABELS * 1j}, "dec: found complex128"),
    "positions of another file": ({"dec": np.zeros(5)}, r"dec: found the shape \(5,\), expected \(23,\)"),
    "float ids": ({"ids": LABELS / 2}, "ids: found float64, expected text"),
    "ids twice": ({"ids": ["a", "b", "a", *map(str, range(20))]}, "ids: 1 stand there more than once .first: 'a'"),
    "too few names": ({"class_names": ["a", "b"]}, "ans: 17 labels are outside 0 to 1.*there are 2 class names"),
    "names twice": ({"class_names": [*"abcdefghi", "a"]}, "class_names: found .*every name must be there once"),
    "an empty name": ({"class_names": [*"abcdefghi", " "]}, "class_names: found .*not be empty"),
    "too many names": ({"class_names": [str(index) for index in range(257)]}, "class_names: found 257, at most 256"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_in_the_schema_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)a\.h5 is not in the Galaxy10 schema:\n  .*{message}.*\nExpected are images"):
        read(write_raw(tmp_path / "a.h5", **changes))


def test_who_needs_images_alone_reads_no_column(tmp_path: Path) -> None:
    """A worker of many would read columns of millions of galaxies for the sake of a few hundred images."""
    path = write_raw(tmp_path / "a.h5", ans=LABELS + 100, ids=["a"] * NUM_GALAXIES)
    with GalaxyFile(path) as galaxies:
        np.testing.assert_array_equal(galaxies.read_images(np.array([3])), IMAGES[[3]])
        for name, message in {
            "labels": "ans: 23 labels are outside 0 to 9",
            "ids": "ids: 1 stand there more than once",
        }.items():
            with pytest.raises(InputError, match=message):
                getattr(galaxies, name)


def test_everything_wrong_is_one_message(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.h5", images=IMAGES / 255, ans=LABELS[1:] / 2, ra=["x"] * NUM_GALAXIES)
    with pytest.raises(InputError, match=r"(?s)images: found float64.*ans: found float64.*ra: found object.*ans: .*shape"):
        GalaxyFile(path)


def test_a_users_own_images_may_have_69_px(tmp_path: Path) -> None:
    images = np.zeros((NUM_GALAXIES, 69, 69, 3), np.uint8)
    assert read(write_raw(tmp_path / "a.h5", images=images, class_names=[*"abcdefghij"])).image_size == 69


def link_external(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "a") as file:
        file["images"] = h5py.ExternalLink("b.h5", "images")


def link_nowhere(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "a") as file:
        file["images"] = h5py.SoftLink("/absent")


def make_virtual(folder: Path) -> None:
    layout = h5py.VirtualLayout(IMAGES.shape, np.uint8)
    layout[...] = h5py.VirtualSource(folder / "b.h5", "images", IMAGES.shape)
    with h5py.File(folder / "a.h5", "a") as file:
        file.create_virtual_dataset("images", layout)


def store_outside(folder: Path) -> None:
    (folder / "raw").write_bytes(IMAGES.tobytes())
    with h5py.File(folder / "a.h5", "a") as file:
        file.create_dataset("images", IMAGES.shape, np.uint8, external=[(str(folder / "raw"), 0, IMAGES.nbytes)])


@pytest.mark.parametrize("refer", [link_external, link_nowhere, make_virtual, store_outside])
def test_images_that_stand_in_another_file_are_refused(tmp_path: Path, refer: Callable[[Path], None]) -> None:
    """The digest of this file would not notice a change of the other, and nobody asked for the other to be read."""
    write_raw(tmp_path / "b.h5")
    write_raw(tmp_path / "a.h5", images=None)
    refer(tmp_path)
    with pytest.raises(InputError, match=r"images: (found a link to another place|the data stand in another file)"):
        GalaxyFile(tmp_path / "a.h5")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path: Path, share: float) -> None:
    path = write_raw(tmp_path / "a.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a\.h5 cannot be read as HDF5 .*: it is truncated or not an HDF5 file"):
        GalaxyFile(path)


@contextmanager
def held_open(path: Path, code: str) -> Iterator[None]:
    """Run another program that opens ``path`` as ``code`` says and holds it."""
    program = f"import h5py, sys; file = h5py.File(sys.argv[1], {code}; print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.kill()


def test_a_file_that_a_notebook_holds_open_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.h5")
    with held_open(path, "'a')"):
        with pytest.raises(
            InputError, match=r"a\.h5 is open for writing in another program, .*close it there.*USE_FILE_LOCKING"
        ):
            GalaxyFile(path)
        # What the message advises, in a program of its own: HDF5 reads its environment once.
        code = "import sys, pathlib; from galaxies.data.galaxy_file import GalaxyFile; GalaxyFile(pathlib.Path(sys.argv[1]))"
        environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}
        subprocess.run([sys.executable, "-c", code, str(path)], cwd=REPOSITORY, env=environment, check=True)
    GalaxyFile(path).close()


def test_a_file_whose_writer_was_killed_says_how_to_mark_it_as_closed(tmp_path: Path) -> None:
    with held_open(tmp_path / "a.h5", "'w', libver='latest'); file['x'] = [1]; file.swmr_mode = True"):
        pass
    with pytest.raises(InputError, match=r"by one that was killed.*`h5clear -s .*a\.h5`"):
        GalaxyFile(tmp_path / "a.h5")


def test_a_file_system_without_locks_is_read_and_written_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As network file systems refuse them; none is at hand here, so what HDF5 then raises stands for it."""
    opened = h5py.File

    def refuse_locks(path: Path, mode: str, *, locking: bool | None = None, **options: Any) -> h5py.File:
        if locking is None:
            raise OSError(errno.ENOLCK, "Unable to synchronously open file (unable to lock file, errno = 37)")
        return opened(path, mode, locking=locking, **options)

    monkeypatch.setattr(h5py, "File", refuse_locks)
    write_toy_galaxies(tmp_path / "a.h5", IMAGES)
    with GalaxyFile(tmp_path / "a.h5") as galaxies:
        assert np.array_equal(galaxies.read_images(np.arange(NUM_GALAXIES)), IMAGES)


def flip_bytes(path: Path, around: bytes) -> None:
    content = bytearray(path.read_bytes())
    start = content.index(around)
    content[start : start + 16] = b"\xff" * 16
    path.write_bytes(content)


def test_a_damaged_directory_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.h5")
    flip_bytes(path, b"TREE")
    with pytest.raises(InputError, match=r"a\.h5 is damaged: "):
        GalaxyFile(path)


def test_damaged_pixels_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(write_raw(path, images=None), "a") as file:
        images: NDArray[np.uint8] = np.zeros((NUM_GALAXIES, 64, 64, 3), np.uint8)
        images[5] = 77
        dataset = file.create_dataset("images", data=images, chunks=(1, 64, 64, 3), compression="gzip")
        offset = dataset.id.get_chunk_info(5).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    with GalaxyFile(path) as galaxies, pytest.raises(InputError, match=r"images 4 to 6 cannot be read .*the file is damaged"):
        galaxies.read_images(np.array([4, 5, 6]))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*absent\.h5; `dvc repro download`"):
        GalaxyFile(tmp_path / "absent.h5")
    with pytest.raises(InputError, match=r"is no file that you may read .*expected is an HDF5 file"):
        GalaxyFile(tmp_path)


def test_the_real_sample_is_in_the_schema(test_data: Path) -> None:
    galaxies = read(test_data / "real" / "galaxy10_decals_sample.h5")
    assert (galaxies.num_galaxies, galaxies.image_size) == (50, 256)
    assert np.bincount(galaxies.labels).tolist() == [5] * 10
