"""Files are whole or absent, digests are asked for with the value to set."""

import errno
import hashlib
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galaxies.errors import InputError
from galaxies.files import (
    file_sha256,
    format_bytes,
    hash_json,
    replacing,
    require_digest,
    require_free_disk,
    write_csv,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    out = tmp_path / "made" / "out.txt"
    with replacing(out) as temporary:
        temporary.write_text("new")
        assert not out.exists()
        assert temporary.parent == out.parent
    assert out.read_text() == "new"
    assert names(out.parent) == ["out.txt"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(out) as temporary:
        temporary.write_text(f"half {1 // 0}")
    assert out.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_a_read_only_out_that_shares_its_bytes_with_a_cache_is_replaced_and_not_written_over(tmp_path: Path) -> None:
    cached, out = tmp_path / "cached", tmp_path / "out.txt"
    cached.write_text("old")
    cached.chmod(0o444)
    os.link(cached, out)
    write_text(out, "new é\n")
    assert out.read_bytes() == "new é\n".encode()
    assert cached.read_text() == "old"


def test_a_result_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "out.txt", "")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "out.txt").stat().st_mode) == 0o640


def test_what_a_killed_process_left_is_swept_and_what_a_running_one_makes_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    leftover, in_the_making, others = (
        tmp_path / f".{name}.tmp" for name in (f"a[1].{gone.pid}.x", f"a[1].{os.getpid()}.y", f"a1.{gone.pid}.z")
    )
    for path in (leftover, in_the_making, others):
        path.touch()
    write_text(tmp_path / "a[1]", "")
    assert names(tmp_path) == sorted([in_the_making.name, others.name, "a[1]"])


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import h5py, numpy as np
from galaxies.errors import InputError
from galaxies.files import replacing
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with replacing(Path("out.h5")) as temporary:
        if sys.argv[1] == "text":
            temporary.write_bytes(bytes(200_000))
        else:
            with h5py.File(temporary, "w") as file:
                file["images"] = np.ones(200_000, np.uint8)
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("kind", ["text", "hdf5"])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out.h5").write_text("old")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, kind], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stderr.startswith("out.h5 cannot be written: File too large; make room and run the same command again.")
    assert (tmp_path / "out.h5").read_text() == "old"
    assert names(tmp_path) == ["out.h5"]


def test_other_failures_of_the_system_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"), replacing(tmp_path / "out"):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("num_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, num_bytes: int) -> None:
    content = np.random.default_rng(0).bytes(num_bytes)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_the_hash_of_values_does_not_depend_on_their_order() -> None:
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})


def test_a_missing_or_wrong_digest_is_answered_with_the_value_to_set() -> None:
    right = "ab" * 32
    for wanted, found in ((None, "no digest is set"), ("cd" * 32, f"the digest set is {'cd' * 32}")):
        with pytest.raises(
            InputError, match=rf"download\.sha256: {found}, but x\.h5 has {right}.*-S download\.sha256={right}`"
        ):
            require_digest(right, wanted, key="download.sha256", what="x.h5")
    require_digest(right, right.upper(), key="download.sha256", what="x.h5")


def test_any_digest_passes_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        require_digest("ab" * 32, "any", key="download.sha256", what="x.h5")
    assert "a change of x.h5 goes unnoticed" in caplog.text


def test_room_on_the_disk_is_asked_for_before_the_work(tmp_path: Path) -> None:
    require_free_disk(tmp_path / "made", 1, "Copying")
    with pytest.raises(InputError, match=r"Copying needs 1024\.0 TiB in .*made, but only .* are free; make room and run"):
        require_free_disk(tmp_path / "made", 1 << 50, "Copying")


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1.5 * 2**30, "1.5 GiB"), (2**40, "1.0 TiB"), (2**52, "4096.0 TiB")],
)
def test_sizes_are_for_people(num_bytes: float, text: str) -> None:
    assert format_bytes(num_bytes) == text


def test_values_and_tables_are_written_as_people_read_them(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1], "a": "é"})
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "b": [\n    1\n  ],\n  "a": "\\u00e9"\n}\n'
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [0.5, 1.0], "name": ["é", "a,b"]}))
    assert (tmp_path / "a.csv").read_bytes() == 'x,name\n0.5,é\n1.0,"a,b"\n'.encode()
