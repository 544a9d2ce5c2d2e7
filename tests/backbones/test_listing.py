"""The list of presets: what it says of each, and that it needs neither network nor weights."""

from pathlib import Path

import huggingface_hub.constants
import pytest
from ruamel.yaml import YAML

from galaxies.__main__ import main
from galaxies.backbones.listing import describe_preset, format_presets, has_weights
from galaxies.backbones.presets import PRESETS
from galaxies.errors import InputError


def test_a_line_says_size_speed_licence_and_whether_weights_are_here() -> None:
    header, own, grey = format_presets(["resnet18_half", "zoobot-greyscale-nano"])
    assert own.split()[:4] == ["resnet18_half", "11.7", "MiB", "96"]
    assert own.endswith("yes")
    assert "Apache-2.0" in grey
    for line in (own, grey):
        milliseconds = line[: header.index("ms/image") + len("ms/image")].split()[-1]
        assert 0 <= float(milliseconds) < 60_000


def test_weights_are_here_once_they_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    nano, resnet = PRESETS["zoobot-convnext-nano"], PRESETS["imagenet-resnet50"]
    assert not has_weights(nano)
    assert not has_weights(resnet)
    folder = tmp_path / "models--mwalmsley--zoobot-encoder-convnext_nano" / "snapshots" / str(nano.revision)
    for file in (folder / "pytorch_model.bin", tmp_path / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth"):
        file.parent.mkdir(parents=True)
        file.touch()
    assert has_weights(nano)
    assert has_weights(resnet)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_described_with_the_options_that_use_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", name]) == 0
    printed = capsys.readouterr().out
    preset = PRESETS[name]
    assert all(text in printed for text in (preset.source, preset.citation, preset.license, preset.unverified))
    options = dict(option.split("=", 1) for option in printed.splitlines()[-1].replace("'", "").split(" -S ")[1:])
    assert options["extract.backbone"] == name
    assert YAML(typ="safe").load(options["extract.layers"]) == [options["train.layer"]] == [preset.layer]


def test_a_name_that_is_no_presets_is_answered_with_all_there_are() -> None:
    with pytest.raises(InputError, match="found 'zoobot', which is no preset; those are resnet18_half, zoobot-convnext-pico"):
        list(describe_preset("zoobot"))
