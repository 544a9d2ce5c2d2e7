"""A section of params.yaml is what its dataclass declares; everything else is named, all in one error."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from ruamel.yaml import YAML

from galaxies.backbones.spec import ExtractParams
from galaxies.data.selection import SplitParams
from galaxies.errors import InputError
from galaxies.heads.train_params import TrainParams
from galaxies.params import Limits, parse_section
from galaxies.runtime import RuntimeParams
from galaxies.sources.download_params import DownloadParams
from stages import PARAMS_PATH, read_params
from tests.pipelines import REPOSITORY

SECTIONS: dict[str, type[Any]] = {
    "download": DownloadParams,
    "split": SplitParams,
    "extract": ExtractParams,
    "train": TrainParams,
    "runtime": RuntimeParams,
}


@dataclass(frozen=True)
class Toy:
    """A section with every kind of key."""

    number: float = 1.5
    count: Annotated[int, Limits(1, 10)] = 2
    share: Annotated[float, Limits(minimum=0)] | None = 0.25
    name: str = "default"
    flag: bool = False
    kind: Literal["a", "b", 1] = "b"
    layers: tuple[int | str, ...] = (3,)
    workers: Annotated[int, Limits(maximum=1e7)] | Literal["auto"] = 4

    def problems(self) -> Iterator[str]:
        """Yield one problem for one value."""
        if self.name == "bad":
            yield "name: found 'bad', allowed is anything else"


RIGHT: dict[str, Any] = {
    "number": 0.5,
    "count": 3,
    "share": None,
    "name": "x",
    "flag": True,
    "kind": "a",
    "layers": [512, "relu"],
    "workers": "auto",
}


def parse(**changes: Any) -> Toy:
    return parse_section(Toy, {**RIGHT, **changes}, "toy")


def test_right_values_arrive_as_they_are() -> None:
    assert parse() == Toy(0.5, 3, None, "x", True, "a", (512, "relu"), "auto")


def test_a_whole_number_is_a_number() -> None:
    number = parse(number=2).number
    assert number == 2.0
    assert type(number) is float


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("number", "fast", "number: found 'fast', allowed is a number"),
        ("number", "1e-5", "number: found '1e-5', allowed is a number"),
        ("number", True, "number: found true, allowed is a number"),
        ("number", None, "number: found null, allowed is a number"),
        ("number", float("nan"), "number: found nan, allowed is a number"),
        ("number", float("inf"), "number: found inf, allowed is a number"),
        ("number", [1.0], r"number: found \[1\.0\], allowed is a number"),
        ("number", 10**400, "number: found 10+, allowed is a number"),
        ("count", 1.0, r"count: found 1\.0, allowed is an integer from 1 to 10"),
        ("count", True, "count: found true, allowed is an integer from 1 to 10"),
        ("count", "3", "count: found '3', allowed is an integer"),
        ("count", 0, "count: found 0, allowed is an integer from 1 to 10"),
        ("count", 11, "count: found 11"),
        ("share", -0.1, r"share: found -0\.1, allowed is a number of at least 0 or null"),
        ("share", "", "share: found '', allowed is a number"),
        ("name", 7, "name: found 7, allowed is text"),
        ("name", None, "name: found null, allowed is text"),
        ("flag", 1, "flag: found 1, allowed is true or false"),
        ("flag", "yes", "flag: found 'yes'"),
        ("kind", "A", r"kind: found 'A', allowed is a \| b \| 1"),
        ("kind", True, "kind: found true"),
        ("kind", None, "kind: found null"),
        ("layers", "layer4", "layers: found 'layer4', allowed is a list of an integer or text"),
        ("layers", {"a": 1}, "layers: found {'a': 1}, allowed is a list"),
        ("layers", [1, 2.5], r"layers: found \[1, 2\.5\]"),
        ("workers", 10_000_001, "workers: found 10000001, allowed is an integer of at most 10000000 or auto"),
        ("workers", "all", "workers: found 'all'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"params\.yaml, section `toy`:\n  toy\.{message}"):
        parse(**{key: value})


@pytest.mark.parametrize(("key", "value"), [("count", 1), ("count", 10), ("share", 0), ("share", 1e300), ("workers", -5)])
def test_both_ends_of_a_range_are_in_it(key: str, value: float) -> None:
    assert getattr(parse(**{key: value}), key) == value


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(InputError, match="nmber: unknown key; did you mean `number`"):
        parse(nmber=1)
    with pytest.raises(InputError, match="zzz: unknown key; the keys are number, count"):
        parse(zzz=1)


def test_a_missing_key_takes_its_default_and_what_was_mistyped_does_not() -> None:
    assert parse_section(Toy, {}, "toy") == Toy()
    assert parse_section(Toy, {"count": 3}, "toy") == Toy(count=3)
    with pytest.raises(InputError, match="cuont: unknown key; did you mean `count`"):
        parse_section(Toy, {"cuont": 3}, "toy")


def test_everything_wrong_is_one_error() -> None:
    values: dict[Any, Any] = {**RIGHT, "number": None, "count": 0, "name": 1, "flagg": True, 3: 4}
    with pytest.raises(InputError) as caught:
        parse_section(Toy, values, "toy")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["toy.flagg", "toy.3", "toy.number", "toy.count", "toy.name"]


def test_what_no_type_can_say_is_an_error_too() -> None:
    with pytest.raises(InputError, match=r"toy\.name: found 'bad', allowed is anything else"):
        parse(name="bad")


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_a_section_that_is_no_mapping_is_refused(values: object) -> None:
    with pytest.raises(InputError, match=r"the section `toy` must be a mapping of keys, found (null|\[\]|'text'|3)"):
        parse_section(Toy, values, "toy")


def committed(section: str) -> dict[str, Any]:
    values: dict[str, Any] = YAML(typ="safe").load((REPOSITORY / PARAMS_PATH).read_text())[section]
    return values


@pytest.mark.parametrize("section", SECTIONS)
def test_the_committed_parameters_are_right_and_every_key_rejects_what_it_cannot_be(section: str) -> None:
    values = committed(section)
    parse_section(SECTIONS[section], values, section)
    for key in values:
        wrong_values: tuple[object, ...] = ({"a": 1}, [[]], [None], "" if type(values[key]) is bool else True)
        for wrong in wrong_values:
            with pytest.raises(InputError, match=rf"{section}\.{key}(: found .*, allowed is|\.a: unknown key)"):
                parse_section(SECTIONS[section], {**values, key: wrong}, section)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_committed_parameters_are_the_defaults(section: str) -> None:
    values, cls = committed(section), SECTIONS[section]
    assert parse_section(cls, values, section) == parse_section(cls, {}, section) == cls()
    assert list(values) == [field.name for field in fields(cls)]


def test_a_missing_key_of_the_sweep_takes_its_default() -> None:
    sweep = parse_section(TrainParams, {"sweep": {"weight_decay": [0.1]}}, "train").sweep
    assert (sweep.learning_rate, sweep.weight_decay) == ((), (0.1,))
    with pytest.raises(InputError, match=r"train\.sweep\.rate: unknown key; the keys are learning_rate, weight_decay"):
        parse_section(TrainParams, {"sweep": {"rate": [0.1]}}, "train")


@pytest.mark.parametrize("section", SECTIONS)
def test_no_number_of_a_section_may_break_the_code_behind_it(section: str) -> None:
    """A negative seed was once an error deep inside numpy."""
    for key, value in committed(section).items():
        if type(value) is int and key != "version":
            with pytest.raises(InputError, match=rf"{section}\.{key}: found -1, allowed is"):
                parse_section(SECTIONS[section], {**committed(section), key: -1}, section)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "hdf5"}, r"download\.path: found null, but the source hdf5 reads a local path; use `-S download\.path="),
        ({"source": "images", "path": ""}, r"download\.path: found null"),
        (
            {"path": "mine.h5"},
            r"download\.path: found 'mine\.h5', but the source simulated reads none; use `-S download\.source",
        ),
        ({"sha256": "0123"}, r"download\.sha256: found '0123', allowed are 64 hexadecimal digits, any, or null"),
    ],
)
def test_parameters_of_the_source_that_contradict_each_other_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_section(DownloadParams, {**committed("download"), **changes}, "download")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the present one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_are_read_as_dvc_writes_them(folder: Path) -> None:
    """`dvc exp run -S x=1e-5` writes 1e-05, which YAML 1.1 calls text."""
    PARAMS_PATH.write_text("runtime: {device: cpu, batch_size: 0o17, num_workers: auto}\ntrain: {learning_rate: 1e-05}\n")
    assert read_params("runtime", RuntimeParams).batch_size == 15
    assert read_params("train", TrainParams).learning_rate == 1e-5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no params\.yaml in .*; run from the repository's top folder"),
        (b"", r"params\.yaml has no section `runtime`"),
        (b"- 1\n", r"params\.yaml has no section `runtime`"),
        (b"runtme: {}\n", r"params\.yaml has no section `runtime`"),
        (b"runtime: [\n", r"params\.yaml is not valid YAML"),
        (b"runtime: {a: 1, a: 2}\n", r"params\.yaml is not valid YAML: .*duplicate key"),
        (b"runtime: !!python/object:os.system x\n", r"params\.yaml is not valid YAML"),
        (b"runtime: \xff\n", r"params\.yaml is not UTF-8 text"),
        (b"runtime:\n", r"the section `runtime` must be a mapping of keys, found null"),
    ],
    ids=["absent", "empty", "a list", "misspelt", "not YAML", "a key twice", "code", "not text", "no keys"],
)
def test_a_params_file_that_cannot_be_used_is_refused(folder: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        PARAMS_PATH.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_params("runtime", RuntimeParams)
