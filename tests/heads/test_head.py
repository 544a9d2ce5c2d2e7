"""A head is what its parameters say, keeps its numbers on disk, and no other file is taken for one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError
from galaxies.heads.calibration import Calibration
from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.head import FORMAT, FORMAT_VERSION, Head, TrainedHead, load_head, save_head
from galaxies.heads.novelty import fit_novelty
from tests.toys import toy_identity

IDENTITY = toy_identity()


def trained_head(**changes: Any) -> TrainedHead:
    head = Head(5, 3, (4, "relu"))
    head.mean.fill_(2.0)
    trained = TrainedHead(
        head.eval(),
        ClassMeaning(Calibration(1.5, (0.2, 0.3, 0.0), 0.7), ("a", "b", "c"), (5, 6, 7)),
        IDENTITY,
        FieldOfView(256, 0.262, 0.262, 0.524),
        fit_novelty(torch.rand(30, 5), torch.rand(20, 5)),
        None,
    )
    return replace(trained, **changes)


def trained_head_of_seed_0() -> TrainedHead:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return trained_head()


@pytest.mark.parametrize(
    ("hidden_layers", "widths"),
    [
        ((), [(5, 3)]),
        ((7, "relu"), [(5, 7), (7, 3)]),
        ((8, "gelu", 4, "tanh"), [(5, 8), (8, 4), (4, 3)]),
        ((6, 4), [(5, 6), (6, 4), (4, 3)]),
    ],
)
def test_the_layers_are_those_asked_for(hidden_layers: tuple[int | str, ...], widths: list[tuple[int, int]]) -> None:
    head = Head(5, 3, hidden_layers)
    assert [(layer.in_features, layer.out_features) for layer in head.network if isinstance(layer, nn.Linear)] == widths
    assert head(torch.rand(2, 5)).shape == (2, 3)


def test_features_are_standardised_before_anything_else() -> None:
    head = Head(2, 3)
    head.mean.copy_(torch.tensor([1.0, 2.0]))
    head.std.copy_(torch.tensor([2.0, 4.0]))
    assert torch.equal(head.standardise(torch.tensor([[3.0, 6.0]])), torch.tensor([[1.0, 1.0]]))


def test_the_temperature_softens_and_keeps_the_order() -> None:
    trained = trained_head()
    features = torch.rand(4, 5)
    cold = replace(trained, meaning=replace(trained.of_classes, calibration=Calibration(1.0, (), 0.5))).probabilities(features)
    warm = trained.probabilities(features)
    assert torch.equal(cold.argsort(1), warm.argsort(1))
    assert bool((warm.max(1).values < cold.max(1).values).all())
    torch.testing.assert_close(warm.sum(1), torch.ones(4, dtype=torch.float64))


def test_a_head_comes_back_from_disk_with_all_it_needs(tmp_path: Path) -> None:
    trained = trained_head()
    save_head(tmp_path / "head.pt", trained)
    loaded = load_head(tmp_path / "head.pt")
    features = torch.rand(6, 5)
    assert torch.equal(loaded.probabilities(features), trained.probabilities(features))
    for name in ("calibration", "class_names", "identity", "train_counts", "meaning", "field", "ending", "others"):
        assert getattr(loaded, name) == getattr(trained, name)
    assert torch.equal(loaded.novelty.score(features), trained.novelty.score(features))
    assert loaded.novelty.threshold == trained.novelty.threshold
    assert not loaded.head.training


def test_a_file_that_hides_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "head.pt")
    with pytest.raises(InputError, match="hides code"):
        load_head(tmp_path / "head.pt")


def test_the_same_head_gives_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    """torch.save writes the name of a path into the archive, here a temporary one: DVC saw a new head in every run."""
    for name in ("a.pt", "b.pt"):
        save_head(tmp_path / name, trained_head_of_seed_0())
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_head_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    save_head(tmp_path / "head.pt", trained_head())
    content = torch.load(tmp_path / "head.pt", weights_only=True)
    for name, value in (
        ("meanings", [{**content["meanings"][0], "class_names": ["a"]}]),
        ("meanings", [{**content["meanings"][0], "kind": "moods"}]),
        ("hidden_layers", ["rellu"]),
        ("meanings", None),
        ("meanings", []),
        ("meanings", [{"kind": "class", "calibration": {"temperature": 1.0}}]),
        ("novelty", {}),
    ):
        torch.save({**content, name: value}, tmp_path / "changed.pt")
        with pytest.raises(InputError, match="its parts do not fit together"):
            load_head(tmp_path / "changed.pt")


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2], {"format": "another"}], ids=["dict", "list", "another"])
def test_a_file_that_is_no_head_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "head.pt")
    with pytest.raises(InputError, match="is not a head of this project"):
        load_head(tmp_path / "head.pt")


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, 99])
def test_a_head_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    torch.save({"format": FORMAT, "format_version": version}, tmp_path / "head.pt")
    with pytest.raises(InputError, match=f"format version {version}, this program reads {FORMAT_VERSION}; .*train again"):
        load_head(tmp_path / "head.pt")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no head"):
        load_head(tmp_path / "head.pt")
    (tmp_path / "head.pt").write_bytes(b"broken")
    with pytest.raises(InputError, match="is damaged"):
        load_head(tmp_path / "head.pt")
    save_head(tmp_path / "whole.pt", trained_head())
    (tmp_path / "head.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:-100])
    with pytest.raises(InputError, match="is damaged"):
        load_head(tmp_path / "head.pt")
    with pytest.raises(InputError, match="is damaged"):
        load_head(tmp_path)
