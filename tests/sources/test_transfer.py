"""A download from a real server on this machine, however that behaves: whole and right under its final name, or not at all."""

import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from galaxies.errors import InputError
from galaxies.sources.transfer import RemoteFile, download
from galaxies.work_folder import discard_work, open_work_folder
from tests.pipelines import REPOSITORY
from tests.servers import CONTENT, SHA256, Answer, Server, cut, lie, refuse, send, serve, stall

ADVICE = "Or get it by other means."


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a server; it answers with ``send()`` unless told otherwise."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as running:
        yield running


def accept(path: Path) -> None:
    """Check nothing."""


def fetch(server: Server, folder: Path, *, sha256: str = SHA256, check: Callable[[Path], None] = accept) -> bytes:
    """Download and return what stands under the final name."""
    out = folder / "out" / "file.h5"
    download(RemoteFile(server.url, sha256, check, ADVICE), out, work=folder / "work", attempts=3, pause_s=0)
    return out.read_bytes()


def partial(folder: Path) -> Path:
    return folder / "work" / "file.h5.partial"


def test_the_whole_file_arrives_with_progress(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None]
    assert "download: 100%" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file.h5"]


def test_a_transfer_that_breaks_off_again_and_again_continues_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000), cut(500), cut(1), cut(250_000), send()]
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=1500-", "bytes=1501-", "bytes=251501-"]
    assert server.num_bytes == len(CONTENT)  # None was sent twice.


def test_it_gives_up_when_nothing_new_comes_and_continues_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000), cut(0)]
    with pytest.raises(InputError, match=rf"cannot be used: .*after 3 attempts\. {ADVICE}"):
        fetch(server, tmp_path)
    assert len(server.ranges) == 4
    assert not (tmp_path / "out" / "file.h5").exists()
    assert partial(tmp_path).read_bytes() == CONTENT[:1000]
    server.answers = [send()]
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges[-1] == "bytes=1000-"


def test_the_progress_of_a_continued_transfer_counts_what_was_there(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [cut(len(CONTENT) * 3 // 4), send()]
    fetch(server, tmp_path)
    assert "download:  75%" in capsys.readouterr().err.rsplit("trying again", 1)[-1]


def test_a_server_that_ignores_range_sends_it_anew(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000), send(ranges=False)]
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_a_server_that_sends_another_part_is_asked_anew(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000), send(shift=10), send()]
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]


def test_a_file_that_changed_between_two_parts_is_not_spliced(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000, content=b"old" * 10_000, etag='"old"'), send()]
    assert fetch(server, tmp_path, sha256="any") == CONTENT
    assert server.if_ranges == [None, '"old"']


def test_a_changed_file_is_noticed_where_the_server_does_not(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000, content=b"old" * 10_000, etag='"old"'), send(if_range=False), send()]
    assert fetch(server, tmp_path, sha256="any") == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]


def test_a_weak_etag_does_not_vouch_for_bytes(server: Server, tmp_path: Path) -> None:
    server.answers = [cut(1000, etag='W/"weak"'), send(etag='W/"weak"')]
    assert fetch(server, tmp_path) == CONTENT
    assert server.if_ranges == [None, "Wed, 21 Oct 2015 07:28:00 GMT"]


def test_redirects_are_followed_also_when_continuing(server: Server, tmp_path: Path) -> None:
    server.answers = [refuse(302, Location="/elsewhere"), cut(1000), refuse(307, Location="/elsewhere"), send()]
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, None, "bytes=1000-", "bytes=1000-"]


@pytest.mark.parametrize(("status", "num_requests"), [(403, 1), (404, 1), (410, 1), (429, 3), (500, 3), (502, 3), (503, 3)])
def test_an_answer_that_is_an_error_is_named_and_repeated_only_where_it_may_pass(
    server: Server, tmp_path: Path, status: int, num_requests: int
) -> None:
    server.answers = [refuse(status)]
    with pytest.raises(InputError, match=rf"{server.url} cannot be used: the server answers {status} .*\. {ADVICE}"):
        fetch(server, tmp_path)
    assert len(server.ranges) == num_requests
    assert not (tmp_path / "out").exists()


def test_a_server_that_recovers_is_enough(server: Server, tmp_path: Path) -> None:
    server.answers = [refuse(503), cut(10), refuse(500), refuse(503), send()]
    assert fetch(server, tmp_path) == CONTENT


def test_redirects_in_a_circle_are_an_error(server: Server, tmp_path: Path) -> None:
    server.answers = [refuse(302, Location="/again")]
    with pytest.raises(InputError, match=r"cannot be used: Exceeded 30 redirects.*after 1 attempts"):
        fetch(server, tmp_path)


@pytest.mark.parametrize("url", ["zenodo.org/file.h5", "ftp://zenodo.org/file.h5", "http://", ""])
def test_an_address_that_is_none_is_not_tried_again(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=rf"after 1 attempts\. {ADVICE}"):
        download(RemoteFile(url, "any", accept, ADVICE), tmp_path / "a", work=tmp_path / "work", pause_s=1000)


def test_without_a_network_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file.h5"
    with pytest.raises(InputError, match=rf"{url} cannot be used: no connection .*after 2 attempts\. {ADVICE}"):
        download(RemoteFile(url, "any", accept, ADVICE), tmp_path / "a", work=tmp_path / "work", attempts=2, pause_s=0)


def test_a_wrong_digest_throws_the_file_away(server: Server, tmp_path: Path) -> None:
    server.answers = [send(content=CONTENT[:-1] + b"x")]
    with pytest.raises(InputError, match=rf"the sha256 [0-9a-f]{{64}}, expected {SHA256}; it is another file .*{ADVICE}"):
        fetch(server, tmp_path)
    assert not (tmp_path / "out").exists()
    assert not partial(tmp_path).exists()
    server.answers = [send()]
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, None]


def test_the_digest_may_be_in_capital_letters(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path, sha256=SHA256.upper()) == CONTENT


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(lie(+1000), "after 3 attempts", id="announced-too-long"),
        pytest.param(lie(-10), "it has the sha256 .* expected", id="announced-too-short"),
        pytest.param(cut(5000, has_length=False), "it has the sha256 .* expected", id="cut-and-no-length"),
        pytest.param(send(content=b""), "it has the sha256 e3b0c44298fc", id="empty"),
    ],
)
def test_a_body_of_another_length_never_gets_the_final_name(
    server: Server, tmp_path: Path, answer: Answer, message: str
) -> None:
    server.answers = [answer]
    with pytest.raises(InputError, match=message):
        fetch(server, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_length_that_is_not_told_is_no_matter(server: Server, tmp_path: Path) -> None:
    server.answers = [send(has_length=False)]
    assert fetch(server, tmp_path) == CONTENT


def test_a_file_too_large_for_the_disk_is_refused_before_it_is_sent(server: Server, tmp_path: Path) -> None:
    server.answers = [lie(10**17)]
    with pytest.raises(
        InputError, match=rf"The download needs 9\d{{4}}\.\d TiB in .*, but only .* are free; make room.*{ADVICE}"
    ):
        fetch(server, tmp_path)
    assert not partial(tmp_path).exists()


def test_a_disk_that_fills_up_keeps_what_has_come(server: Server, tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from galaxies.errors import InputError\n"
        "from galaxies.sources.transfer import RemoteFile, download\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "url, out, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])\n"
        "try: download(RemoteFile(url, 'any', print, 'Or'), out, work=work)\n"
        "except InputError as error: sys.exit(str(error))\n"
    )
    paths = (str(tmp_path / "out" / "file.h5"), str(tmp_path / "work"))
    done = subprocess.run([sys.executable, "-c", script, server.url, *paths], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(
        r"file\.h5\.partial cannot be written \(File too large\); make room and run .* it continues\. Or", done.stderr
    )
    assert partial(tmp_path).read_bytes() == CONTENT[:100_000]
    assert not (tmp_path / "out").exists()
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_killed_download_continues(server: Server, tmp_path: Path) -> None:
    proceed = threading.Event()
    server.answers = [stall(50_000, proceed), send()]
    script = (
        "import sys; from pathlib import Path; from galaxies.sources.transfer import RemoteFile, download\n"
        "download(RemoteFile(sys.argv[1], sys.argv[2], print, ''), Path('out/file.h5'), work=Path('work'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script, server.url, SHA256]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
        while not partial(tmp_path).exists() or partial(tmp_path).stat().st_size < 50_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    proceed.set()
    assert not (tmp_path / "out").exists()
    assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=50000-"]


def test_a_file_of_the_wrong_kind_is_thrown_away(server: Server, tmp_path: Path) -> None:
    def reject(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise InputError("it is of the wrong kind.")

    with pytest.raises(InputError, match=rf"{server.url} cannot be used: it is of the wrong kind\. {ADVICE}"):
        fetch(server, tmp_path, check=reject)
    assert not (tmp_path / "out").exists()
    assert not partial(tmp_path).exists()


def test_an_out_that_was_deleted_is_published_again_without_the_server(server: Server, tmp_path: Path) -> None:
    """DVC hashes an out for seconds after the stage has ended, and deletes it when it is killed meanwhile."""
    fetch(server, tmp_path)
    (tmp_path / "out" / "file.h5").unlink()
    assert fetch(server, tmp_path) == CONTENT
    assert len(server.ranges) == 1
    discard_work(tmp_path / "work")
    discard_work(tmp_path / "work")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "file.h5").read_bytes() == CONTENT


def test_what_was_kept_is_checked_again(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    partial(tmp_path).write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(InputError, match="it has the sha256"):
        fetch(server, tmp_path)


def test_any_as_digest_keeps_nothing_and_says_so(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fetch(server, tmp_path, sha256="any") == CONTENT
    assert "`any` means that the file is used as it came" in caplog.text
    assert not (tmp_path / "work").exists()
    server.answers = [send(content=b"new")]
    assert fetch(server, tmp_path, sha256="any") == b"new"


def test_a_download_in_progress_is_not_discarded(tmp_path: Path) -> None:
    with open_work_folder(tmp_path / "work"):
        assert not discard_work(tmp_path / "work")
        assert (tmp_path / "work").is_dir()


def test_two_downloads_at_once_do_not_disturb_each_other(server: Server, tmp_path: Path) -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(server, tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [CONTENT] * 3
    assert server.ranges == [None]
