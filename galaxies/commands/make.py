"""Commands for what the parameters want to know before a run."""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galaxies.commands.command import Command, count
from galaxies.paths import GALAXIES


def _use(options: argparse.Namespace) -> None:
    from galaxies.params import parse_section
    from galaxies.params_file import change_section
    from galaxies.runtime import RuntimeParams
    from galaxies.sources.download_params import DownloadParams
    from galaxies.sources.findings import look_at
    from galaxies.sources.image_catalogue import OnError
    from galaxies.sources.image_import import ImportOptions
    from galaxies.sources.image_measures import Framing

    on_error: OnError = "leave_out" if options.leave_out else "refuse"
    framing = Framing(options.image_size, options.field_arcsec)
    asked = {"source": "images", "path": str(options.path), "bands": _split(options.bands), "zero_point": options.zero_point}
    reading = parse_section(DownloadParams, {**asked, "dtype": options.dtype}, "download").reading
    findings = look_at(options.path, ImportOptions(framing, on_error, RuntimeParams().count_workers(), reading))
    for line in findings.lines:
        print(line)
    params = Path("params.yaml")
    changed = change_section(params, "download", {**_take_back(params, findings.params), **findings.params})
    layer = findings.layer or _layer_instead_of_embeddings(params)
    if layer is not None:
        changed += change_section(params, "extract", {"layers": [layer]})
        changed += change_section(params, "train", {"layer": layer})
    print("\nparams.yaml:" if changed else "\nparams.yaml says so already.")
    for line in changed:
        print(f"  {line}")
    print("The next command is `dvc repro`.")


def _take_back(params: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of what params.yaml says of the source that it names, as another source may know nothing of it."""
    from galaxies.params_file import read_section
    from galaxies.sources.download_params import OF_ONE_SOURCE, DownloadParams

    section, defaults = read_section(params, "download"), DownloadParams()
    # What stands for no label nobody can find out: the same file keeps it.
    is_same = all(section.get(key) == found.get(key) for key in ("source", "path"))
    kept = ("unlabelled_value",) if is_same else ()
    return {key: getattr(defaults, key) for key in OF_ONE_SOURCE if key in section and key not in kept}


def _layer_instead_of_embeddings(params: Path) -> str | None:
    """Return a layer of the backbone where params.yaml names that of embeddings alone, which images do not have."""
    from galaxies.backbones.presets import OWN, PRESETS, find_preset
    from galaxies.backbones.spec import EMBEDDINGS
    from galaxies.params_file import read_section

    section = read_section(params, "extract")
    preset = find_preset(str(section.get("backbone"))) or PRESETS[OWN]
    return preset.layer if section.get("layers") == [EMBEDDINGS] else None


def _add_use(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        help="an .h5 file, class folders, a table of images, positions, embeddings, or a folder of Parquet files",
    )
    parser.add_argument("--leave-out", action="store_true", help="leave out the galaxies that cannot be used")
    parser.add_argument("--image-size", type=count, metavar="PX", help="bring all images to this size")
    parser.add_argument("--field-arcsec", type=float, metavar="ARCSEC", help="the width of sky that each shows")

    parser.add_argument("--bands", metavar="U,G,R", help="take these bands of FITS files for channels, instead of pictures")
    parser.add_argument("--dtype", default="uint8", choices=("uint8", "float16"), help="of the pixels of bands (uint8)")
    parser.add_argument(
        "--zero-point", type=float, metavar="MAG", help="AB magnitude of a flux of 1, where no header has a unit"
    )


def _split(bands: str | None) -> list[str] | None:
    return None if bands is None else [band.strip() for band in bands.split(",")]


def _digest(options: argparse.Namespace) -> None:
    from galaxies.data.bands import PICTURE_BANDS
    from galaxies.sources.sources import digest

    bands = _split(options.bands) or PICTURE_BANDS
    print(digest(options.path, on_error="leave_out" if options.leave_out else "refuse", bands=bands))


def _add_digest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a file, a folder of class folders, or a catalogue of images")
    parser.add_argument("--leave-out", action="store_true", help="as with download.on_error: leave_out")
    parser.add_argument("--bands", metavar="U,G,R", help="as with download.bands, of which each galaxy has a file")


def _layers(options: argparse.Namespace) -> None:
    from galaxies.backbones.backbone import load_backbone
    from galaxies.backbones.spec import BackboneSpec
    from galaxies.features.layers import example_images, format_conditions, format_layers, measure_layers

    spec = BackboneSpec(options.backbone, options.weights, image_size=options.image_size)
    backbone = load_backbone(spec, layers=[])
    images, whose = example_images(GALAXIES)
    layers = measure_layers(backbone, images)
    shown = [layer for layer in layers if layer.is_cut or options.all]
    conditions = format_conditions(
        options.num_galaxies,
        image_size=backbone.transform.image_size,
        whose=whose,
        weights=options.weights,
        num_hidden=len(layers) - len(shown),
    )
    for line in (*format_layers(shown, options.num_galaxies), "", *conditions):
        print(line)


def _add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backbone", help="as in extract.backbone, such as resnet50 or timm:convnext_nano")
    parser.add_argument("--num-galaxies", type=count, default=17736, help="N; the default is Galaxy10 DECaLS")
    parser.add_argument("--image-size", type=count, help="px; the default is the weights' own")
    parser.add_argument("--weights", default="random", help="published weights; zeros, and so compression, depend on them")
    parser.add_argument("--all", action="store_true", help="also the nodes that cannot be a cut")


def _fill(options: argparse.Namespace) -> None:
    import subprocess
    import sys

    from galaxies.features.passes import format_progress
    from galaxies.params_file import read_section

    if options.status:
        for line in format_progress(Path(), now=time.time()):
            print(line)
        return
    layers = read_section(Path("params.yaml"), "extract").get("layers")
    layer = options.layer or (layers[0] if isinstance(layers, list) and layers else "")
    work = "--plan" if options.plan else f"--part={options.part}"
    sys.exit(subprocess.run([sys.executable, "-m", "stages.extract", str(layer), work]).returncode)


def _add_fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("layer", nargs="?", help="whose forward pass, with all layers of it; the first of extract.layers")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="write what is to be filled, once and before all else")
    what.add_argument("--part", metavar="I/N", help="fill the blocks b with b mod N = I - 1; `any`: whatever is left")
    what.add_argument("--status", action="store_true", help="say how far each plan is, and how many are at work")


COMMANDS = (
    Command(
        "use",
        "look at your own galaxies, and write into params.yaml where they are",
        "galaxies use my_galaxies",
        _use,
        _add_use,
    ),
    Command(
        "digest",
        "print the digest that download.sha256 or extract.weights_sha256 wants",
        "galaxies digest my_galaxies.h5",
        _digest,
        _add_digest,
    ),
    Command(
        "layers",
        "list the layers of a backbone: shape, whether a cut, bytes of its store",
        "galaxies layers resnet50 --num-galaxies 100000",
        _layers,
        _add_layers,
    ),
    Command(
        "fill",
        "fill a part of what `dvc repro extract` computes, beside others on other machines",
        "galaxies fill --part $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT",
        _fill,
        _add_fill,
    ),
)
