"""The documents: every command that can be run is run, every name that is named exists, and the README stays short."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import galaxies
from galaxies.commands.command_line import make_parser
from tests.belongings import bring_belongings
from tests.documents import PAGES, Block, Command, add_command, all_blocks, find_difference, put_back, read_blocks, run_command
from tests.pipelines import REPOSITORY, Pipeline, make_pipeline
from tests.test_architecture import LAYERS

BLOCKS = list(all_blocks())
COMMANDS = [(block, command) for block in BLOCKS if block.is_code for command in block.commands]
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
PARAMS: dict[str, dict[str, Any]] = YAML(typ="safe").load((REPOSITORY / "params.yaml").read_text())

SMALL_SURVEY: dict[str, dict[str, Any]] = {
    "download": {"source": "simulated", "path": None, "sha256": None, "num_galaxies": 300, "image_size": 64},
    "extract": {"image_size": None, "layers": ["layer3+layer4"]},
    "train": {"layer": "layer3+layer4", "num_epochs": 8},
    "runtime": {"num_workers": "auto"},
}


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].encode()) <= 10_000
    assert [line for line in TEXTS["README.md"].splitlines() if len(line) > 120] == []


def test_every_block_of_code_says_how_it_is_run() -> None:
    ways = [("run",), ("run", "slow"), ("run", "slow", "each"), ("run", "slow", "clone")]
    for block in BLOCKS:
        if block.is_code:
            assert block.words in ways or block.words[0].startswith("skip="), block.place
            assert block.commands, block.place
    assert sum(block.words == ("run",) for block in BLOCKS) >= 3


def test_the_readme_leads_to_every_page() -> None:
    pages = {f"docs/{name}" for name in PAGES if name != "README.md"}
    assert pages <= set(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \|", TEXTS["README.md"], re.MULTILINE))


def test_the_folders_of_the_library_stand_in_the_documents_in_their_order() -> None:
    """The README once lacked ``tables``."""
    assert tuple(re.findall(r"^  (\w+)/  ", TEXTS["README.md"], re.MULTILINE)) == LAYERS
    rooms = TEXTS["architecture.md"].partition("## The rooms")[2].split("```")[1]
    assert tuple(re.findall(r"^(\w+)  ", rooms, re.MULTILINE)) == LAYERS
    beside = {path.name for path in (REPOSITORY / "galaxies").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert beside == set(re.findall(r"`galaxies/(\w+\.py)`", TEXTS["architecture.md"]))
    assert tuple(name for name in re.findall(r"``(\w+)``", galaxies.__doc__ or "") if name in LAYERS) == LAYERS


def test_the_documents_name_what_the_stages_write() -> None:
    stages = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())["stages"].values()
    written = {path for stage in stages for path in stage.get("outs", []) if isinstance(path, str)}
    assert len(written) > 5
    assert [path for path in written if not any(f"`{path}`" in text for text in TEXTS.values())] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (PAGES[page].parent / name).resolve() if name else PAGES[page]
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("page", PAGES)
def test_every_key_and_module_that_is_named_exists(page: str) -> None:
    prose = re.sub(r"https?://\S+", "", TEXTS[page])
    for section, key in re.findall(
        rf"\b({'|'.join(PARAMS)})\.(\w+)\b(?!\.(?:py|h5|zarr|csv|json|pt|parquet|html|png)\b)", prose
    ):
        if key not in ("h5", "py", "json", "csv", "html", "parquet", "version"):
            assert key in PARAMS[section], f"{section}.{key}"
    for package, module in re.findall(r"\b(benchmarks|pretraining)\.([a-z]\w*)", prose):
        assert (REPOSITORY / package / f"{module}.py").is_file(), f"{package}.{module}"
    for path in re.findall(r"`((?:galaxies|stages|tests|docs|benchmarks|pretraining)/[\w./-]*)`", prose):
        assert (REPOSITORY / path).exists(), path


def test_every_command_of_ours_is_understood() -> None:
    found = 0
    for block, command in COMMANDS:
        for typed in re.findall(r"(?:^|[(&;] ?)(galaxies [^)&;#]*)", command.line):
            if block.language == "console" and "<" not in typed:
                make_parser().parse_args(shlex.split(typed)[1:])
                found += 1
    assert found > 20


def test_what_the_pages_show_is_what_the_commands_print() -> None:
    """The numbers of ``galaxies show`` are those of the default run, whose metrics are in Git."""
    pipeline = Pipeline(REPOSITORY)
    for block, command in COMMANDS:
        if block.words == ("run",):
            line = command.line.replace("galaxies ", "python -m galaxies ", 1)
            run_command(replace(command, line=line), pipeline, exact="show" in line)


def test_the_measurements_are_those_of_the_default_run() -> None:
    """The numbers in prose, too."""
    shown = {name: str(value) for name, value in YAML(typ="safe").load((REPOSITORY / "metrics/test.json").read_text()).items()}
    for page in ("README.md", "measurements.md"):
        assert f"{float(shown['accuracy']):.3f}" in TEXTS[page]
        assert f"{shown['num_galaxies']} " in TEXTS[page]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Make a small repository in which everything has run, is committed, and a user's own files lie."""
    folder = tmp_path_factory.mktemp("documents") / "galaxies"
    pipeline = make_pipeline(folder, **SMALL_SURVEY)
    add_command(pipeline)
    pipeline.run("dvc", "repro")
    pipeline.run("git", "add", "-A")
    pipeline.run("git", "commit", "-qm", "run")
    bring_belongings(pipeline)
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [name for name in PAGES if any(block.page == name and "slow" in block.words for block in BLOCKS)]
)
def test_the_commands_of_a_page_run(page: str, world: Pipeline, tmp_path: Path) -> None:
    pipeline = world.copy(tmp_path / "galaxies")
    pipeline.environment["PATH"] = world.environment["PATH"]
    for block in (block for block in BLOCKS if block.page == page and "slow" in block.words):
        for number, command in enumerate(block.commands):
            if number == 0 or "each" in block.words:
                put_back(pipeline.folder)
            try:
                run_command(command, _clone(pipeline) if "clone" in block.words else pipeline)
            except AssertionError as error:
                raise AssertionError(f"{block.place}: {error}") from error
        # A queue works on in the background; its worker ends ten seconds after the last task.
        pipeline.wait_for_processes()


def _clone(pipeline: Pipeline) -> Pipeline:
    """Return a clone that has what Git has, and its remote."""
    folder = pipeline.folder.parent / "clone"
    if not folder.exists():
        pipeline.run("git", "clone", "--quiet", ".", str(folder))
        pipeline.run("cp", "-r", "new", str(folder.parent / "new"))
    clone = Pipeline(folder)
    clone.environment["PATH"] = pipeline.environment["PATH"]
    return clone


def test_a_block_is_read_with_its_place_and_its_words() -> None:
    text = "# Page\n\n```console run slow\n$ dvc repro \\\n    -s a\n...\nran a\n$ dvc diff  # shows\n```\n\n```\n$ no\n```\n"
    first, second = read_blocks("page.md", text)
    assert (first.place, first.language, first.words) == ("page.md:4", "console", ("run", "slow"))
    assert first.commands == (Command("dvc repro -s a", ("...", "ran a")), Command("dvc diff  # shows", ()))
    assert not second.is_code
    assert (
        Block("page.md", 1, "console", ("skip=no network",), "").words
        == read_blocks("p", "```console skip=no network\n```\n")[0].words
    )


@pytest.mark.parametrize(
    ("expected", "is_found"),
    [
        (["accuracy 0.5"], True),
        (["accuracy 0.5", "f1 3"], True),
        (["accuracy 0.5", "...", "loss 1"], True),
        (["accuracy 0.5", "loss 1"], False),
        (["f1 1", "accuracy 1"], False),
        (["precision 0.5"], False),
    ],
)
def test_what_is_printed_is_compared_line_by_line_numbers_aside(expected: list[str], is_found: bool) -> None:
    printed = "Running\n  accuracy   0.9056\nf1  -12.5%\n\nloss 3e5\n"
    assert (find_difference(expected, printed.replace("3e5", "35")) is None) == is_found


def test_numbers_count_where_they_are_to_be_exact() -> None:
    assert find_difference(["accuracy 0.5"], "accuracy 0.6", exact=True) == "accuracy 0.5"


def test_a_command_that_fails_or_prints_something_else_is_found(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    with pytest.raises(AssertionError, match="exited with 3"):
        run_command(Command("exit 3", ()), pipeline)
    with pytest.raises(AssertionError, match="should print\nb\nand printed\na"):
        run_command(Command("echo a", ("b",)), pipeline)
