"""A place: the same on a disk and on an S3 server, and in plain words where that misbehaves."""

import pickle
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from galaxies.errors import InputError
from galaxies.features.place import Place
from tests.object_store import BUCKET, ObjectStore, refuse, serve_objects

SHORT = timedelta(seconds=1)


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectStore]:
    with serve_objects() as store:
        yield store


@pytest.fixture
def server(running: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield running
    running.fault = lambda environ: None


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, server: ObjectStore) -> Place:
    return Place(f"file://{tmp_path}/a folder" if request.param == "disk" else f"s3://{BUCKET}/{tmp_path.name}")


def test_an_object_is_read_as_it_was_put(place: Place) -> None:
    place.put("a+b.zarr/activations/c.0.0", b"first")
    place.put("a+b.zarr/activations/c.0.0", b"0123456789")
    assert place.get("a+b.zarr/activations/c.0.0") == b"0123456789"
    assert place.get_range("a+b.zarr/activations/c.0.0", 2, 5) == b"234"
    assert place.get_range("a+b.zarr/activations/c.0.0", 8, 20) == b"89"


def test_what_is_missing_is_a_file_that_is_not_found(place: Place) -> None:
    assert not place.has("x")
    with pytest.raises(FileNotFoundError):
        place.get("x")
    with pytest.raises(FileNotFoundError):
        place.get_range("x", 0, 1)
    place.delete(["x"])


def test_all_objects_are_listed_and_those_asked_for_deleted(place: Place) -> None:
    for name in ("a/1", "a/2", "ab/1", "b"):
        place.put(name, name.encode())
    assert sorted((found.name, found.num_bytes) for found in place.list()) == [("a/1", 3), ("a/2", 3), ("ab/1", 4), ("b", 1)]
    assert sorted(found.name for found in place.list("a")) == ["a/1", "a/2"]
    place.delete(["a/1", "b"])
    assert sorted(found.name for found in place.list()) == ["a/2", "ab/1"]


def test_of_many_who_put_an_absent_object_one_wins(place: Place) -> None:
    won: list[bytes] = []

    def put(content: bytes) -> None:
        if place.put_if_absent("plan", content):
            won.append(content)

    threads = [threading.Thread(target=put, args=(bytes([number]),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [place.get("plan")] == won
    assert place.put_if_absent("plan", won[0])  # As when the answer to the first try was lost.


def test_a_sound_place_stays_empty_and_goes_to_another_process(place: Place) -> None:
    pickle.loads(pickle.dumps(place)).require_sound()
    assert list(place.list()) == []


@pytest.mark.parametrize(
    "url", ["survey", "/data", "gs://bucket/a", "s3:///a", "file://a/b", "s3://key@bucket/a", "s3://b?x=1"]
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"found the place .*, expected s3://bucket/prefix or file:///folder"):
        Place(url)


def test_a_store_that_ignores_put_if_absent_is_found_out(server: ObjectStore) -> None:
    server.fault = lambda environ: environ.pop("HTTP_IF_NONE_MATCH", None) and None
    with pytest.raises(InputError, match="this store replaces an object although"):
        Place(f"s3://{BUCKET}/ignores").require_sound()
    assert list(Place(f"s3://{BUCKET}/ignores").list()) == []


def test_a_missing_bucket_is_named(server: ObjectStore) -> None:
    place = Place("s3://elsewhere/a")
    for call in (place.require_sound, lambda: place.get("x"), lambda: list(place.list())):
        with pytest.raises(InputError, match=r"s3://elsewhere/a: cannot .*there is no such bucket.*NoSuchBucket"):
            call()


def test_an_address_where_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch, server: ObjectStore) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"cannot write .*nobody answers at http://127\.0\.0\.1:9; look at AWS_ENDPOINT_URL"):
        Place(f"s3://{BUCKET}/a", retry_time=SHORT).require_sound()


@pytest.mark.parametrize(
    ("status", "code", "complaint"),
    [
        (403, "AccessDenied", "the credentials found do not allow it"),
        (403, "InvalidAccessKeyId", "it does not know the access key found"),
        (403, "SignatureDoesNotMatch", "the secret key found is not that of the access key"),
        (400, "ExpiredToken", "the credentials found have expired"),
        (503, "SlowDown", "it is too busy"),
        (500, "InternalError", "it answers 500 Internal Server Error"),
    ],
)
def test_a_refusal_is_said_in_plain_words_without_the_secret(
    status: int, code: str, complaint: str, server: ObjectStore
) -> None:
    server.fault = lambda environ: refuse(status, code)
    with pytest.raises(InputError, match=f"cannot write a: {complaint}") as raised:
        Place(f"s3://{BUCKET}/refused", retry_time=SHORT).put("a", b"1")
    assert "very-secret" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_busy_store_is_asked_again(server: ObjectStore) -> None:
    busy = iter([503, 503, 500])

    def fault(environ: object) -> object:
        status = next(busy, None)
        return refuse(status, "SlowDown") if status else None

    server.fault = fault  # type: ignore[assignment]
    place = Place(f"s3://{BUCKET}/busy")
    place.put("a", b"1")
    assert place.get("a") == b"1"
    assert next(busy, None) is None


def test_credentials_in_the_files_of_aws_serve(server: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    file = tmp_path / "credentials"
    file.write_text("[mine]\naws_access_key_id = from-a-file\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    seen: list[str] = []
    server.fault = lambda environ: seen.append(environ["HTTP_AUTHORIZATION"])
    Place(f"s3://{BUCKET}/files").put("a", b"1")
    assert all("Credential=from-a-file/" in header for header in seen)
    assert seen
