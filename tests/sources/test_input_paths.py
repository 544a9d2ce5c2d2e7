"""Local inputs under DVC itself: a relative path means the same file in every way to run an experiment."""

import json
from pathlib import Path

import pytest

from galaxies.files import file_sha256
from tests.pipelines import make_pipeline
from tests.toys import toy_images, write_toy_galaxies


@pytest.mark.pipeline
def test_relative_paths_hold_aside_and_from_the_queue(tmp_path: Path) -> None:
    """`--temp` and `--queue` run in a throw-away clone, in which a file that Git does not track is not."""
    folder = tmp_path / "repository"
    write_toy_galaxies(folder / "toy.h5", toy_images(30, size=4))
    pipeline = make_pipeline(folder)
    (folder / ".git" / "info" / "exclude").write_text("/mine/\n")
    labels = folder / "mine" / "labels.csv"
    labels.parent.mkdir()
    labels.write_text("id,label\n000000,class 2\n")
    write_toy_galaxies(folder / "mine" / "other.h5", toy_images(33, size=4, seed=1))
    changes = ["-S", "download.path=mine/other.h5", "-S", f"download.sha256={file_sha256(folder / 'mine' / 'other.h5')}"]
    changes += ["-S", "split.labels=mine/labels.csv", "-S", f"split.labels_sha256={file_sha256(labels)}"]
    pipeline.run("dvc", "exp", "run", "--temp", "-n", "aside", *changes, "split")
    pipeline.run("dvc", "exp", "run", "--queue", "-n", "queued", *changes, "-S", "split.seed=1", "split")
    pipeline.run("dvc", "exp", "run", "--run-all")
    experiments = pipeline.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    for name in ("aside", "queued"):
        (experiment,) = [reference for reference in experiments if reference.endswith(f"/{name}")]
        report = json.loads(pipeline.run("git", "show", f"{experiment}:metrics/data.json"))
        assert report["galaxies"] == 33  # Those of the other file; without the labels the stage would have failed.
