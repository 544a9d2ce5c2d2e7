"""Small tools beside the pipeline: python -m galaxies --help."""

import argparse
import json
import os
import sys
from pathlib import Path

from galaxies.errors import InputError
from galaxies.files import explain_disk_errors


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an InputError, a full disk or a missing permission becomes a message on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m galaxies", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_predict(commands)
    digest = commands.add_parser("digest", help="print the digest that download.sha256 or extract.weights_sha256 wants")
    digest.add_argument("path", type=Path, help="a file, a folder of class folders, or a catalogue of images")
    digest.set_defaults(run=_digest)
    show = commands.add_parser("show", help="print the metrics of the last run and where its pictures are")
    show.set_defaults(run=_show)
    layers = commands.add_parser("layers", help="list the layers of a backbone: shape, whether a cut, bytes of its store")
    layers.add_argument("backbone", help="as in extract.backbone, such as resnet50 or timm:convnext_nano")
    layers.add_argument("--num-galaxies", type=int, default=17736, help="N; the default is Galaxy10 DECaLS")
    layers.add_argument("--image-size", type=int, help="px; the default is the weights' own")
    layers.add_argument("--weights", default="random", help="published weights; zeros, and so compression, depend on them")
    layers.add_argument("--all", action="store_true", help="also the nodes that cannot be a cut")
    layers.set_defaults(run=_layers)
    scratch = commands.add_parser("scratch", help="list unfinished extractions, or delete them")
    scratch.add_argument("--delete", metavar="KEY", action="append", default=[], help="the key, or how it begins")
    scratch.add_argument("--older-than", metavar="DAYS", type=float, help="delete what nobody has written to for so long")
    scratch.set_defaults(run=_scratch)
    recover = commands.add_parser("recover", help="put right what a killed DVC or Git left behind")
    recover.set_defaults(run=_recover)
    compare = commands.add_parser("compare", help="tell whether the second of two revisions or experiments is better")
    compare.add_argument("first", metavar="REV_A", help="a Git revision, an experiment, or `workspace`")
    compare.add_argument("second", metavar="REV_B", help="as REV_A")
    compare.set_defaults(run=_compare)
    plots_page = commands.add_parser("plots-page", help="make the page of `dvc plots show` and `diff` work without network")
    plots_page.set_defaults(run=_plots_page)
    options = parser.parse_args(arguments)
    try:
        with explain_disk_errors("the disk"):
            options.run(options)
    except InputError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python would complain of it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    predict = commands.add_parser("predict", help="predict your own galaxies: images, FITS files, catalogues of them, HDF5")
    predict.add_argument("input", help="a file, a folder, a 'pattern*', a .csv, .parquet or .txt catalogue, an .h5 file")
    predict.add_argument("--out", type=Path, required=True, help="the result, .parquet or .csv: a row an input, in its order")
    predict.add_argument("--metrics", type=Path, help="write metrics of labelled inputs to this JSON file")
    predict.add_argument("--limit", type=_count, help="predict the first inputs only")
    predict.add_argument("--batch-size", type=_count, default=64, help="images in one forward pass (64)")
    predict.add_argument("--num-workers", type=int, help="threads that decode (one a core)")
    predict.add_argument("--adapt", action="store_true", help="standardise features by the inputs' own: for another survey")
    predict.add_argument("--allow-outside", action="store_true", help="follow a catalogue's paths out of its folder")
    _add_model_options(predict)
    predict.set_defaults(run=_predict)
    similar = commands.add_parser("similar", help="find the galaxies of the catalogue that look most like an image")
    similar.add_argument("image", help="a JPEG, PNG, TIFF or FITS file")
    similar.add_argument("--number", type=_count, default=11, help="galaxies to show (11)")
    similar.add_argument("--out", type=Path, default=Path("similar.png"), help="the contact sheet (similar.png)")
    _add_model_options(similar)
    similar.set_defaults(run=_similar)
    export = commands.add_parser("export", help="write backbone and head as one file, or the features for other tools")
    export.add_argument("out", type=Path, help="model.onnx, model.pt2 (torch.export), or features.parquet")
    export.add_argument("--image-size", type=_count, help="px of the images that the file will take (those of training)")
    _add_model_options(export)
    export.set_defaults(run=_export)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-dir", type=Path, default=Path("models"), help="the folder with head.pt, or the file (models)")
    parser.add_argument("--weights", type=Path, help="the backbone's weights, where they are not where training took them")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _predict(options: argparse.Namespace) -> None:
    from galaxies.prediction.model import load
    from galaxies.prediction.run import PredictOptions, predict_inputs
    from galaxies.runtime import RuntimeParams

    model = load(options.model_dir, weights=options.weights, device=options.device)
    num_workers = RuntimeParams("auto", 1, "auto" if options.num_workers is None else options.num_workers).count_workers()
    settings = PredictOptions(
        options.batch_size, num_workers, options.limit, options.allow_outside, options.metrics, options.adapt
    )
    counts = predict_inputs(options.input, options.out, model, settings)
    print(
        f"{options.out}: {counts['rows']:,} rows, {counts['error']:,} with an error; {counts['abstain']:,} are left to a "
        f"person, of which {counts['is_novel']:,} are unlike the training galaxies."
    )


def _similar(options: argparse.Namespace) -> None:
    from galaxies.prediction.model import load
    from galaxies.prediction.similarity import draw_similar, find_similar

    model = load(options.model_dir, weights=options.weights, device=options.device)
    image, found = find_similar(options.image, model, folder=Path(), number=options.number)
    draw_similar(options.out, image, found, title=f"Most similar to {options.image}, with class, id and distance")
    for galaxy in found:
        print(f"{galaxy.distance:6.3f}  row {galaxy.row:<6} {galaxy.id:<12} {galaxy.class_name}")
    print(f"{options.out} shows them.")


def _export(options: argparse.Namespace) -> None:
    from galaxies.files import format_bytes
    from galaxies.prediction.export import export_model
    from galaxies.prediction.feature_table import export_features
    from galaxies.prediction.model import load

    model = load(options.model_dir, weights=options.weights, device="cpu")
    if options.out.suffix.lower() == ".parquet":
        export_features(Path("features") / f"{model.trained.identity.layer}.zarr", options.out, folder=Path())
    else:
        export_model(model, options.out, image_size=options.image_size)
    print(f"{options.out}: {format_bytes(options.out.stat().st_size)}")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected 1 or more")
    return number


def _digest(options: argparse.Namespace) -> None:
    from galaxies.sources.sources import digest

    print(digest(options.path))


def _layers(options: argparse.Namespace) -> None:
    from galaxies.backbones.backbone import load_backbone
    from galaxies.backbones.spec import BackboneSpec
    from galaxies.features.layers import example_images, format_layers, measure_layers

    backbone = load_backbone(BackboneSpec(options.backbone, options.weights, image_size=options.image_size), layers=[])
    images, whose = example_images(Path("data/galaxies.h5"))
    layers = measure_layers(backbone, images)
    shown = [layer for layer in layers if layer.is_cut or options.all]
    for line in format_layers(shown, options.num_galaxies):
        print(line)
    size = backbone.transform.image_size
    print(
        f"\nBytes for {options.num_galaxies:,} galaxies, images of {size} px: pooled features float32, maps float16.\n"
        f"Compression (zstd, level 1) was measured on {whose} with weights {options.weights}.\n"
        f"{len(layers) - len(shown)} nodes that cannot be a cut are not shown (--all)."
    )


def _scratch(options: argparse.Namespace) -> None:
    from galaxies.features.unfinished import delete_unfinished, format_unfinished, list_unfinished

    root = Path()
    if options.delete or options.older_than is not None:
        for line in delete_unfinished(root, keys=options.delete, older_than_days=options.older_than):
            print(line)
    for line in format_unfinished(list_unfinished(root)):
        print(line)


def _recover(options: argparse.Namespace) -> None:
    from galaxies.repository.recovery import recover

    for line in recover(Path()):
        print(line)


def _show(options: argparse.Namespace) -> None:
    paths = (Path("metrics/test.json"), Path("metrics/intervals.json"))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"There is no {missing[0]}; `dvc repro` makes it.")
    metrics, intervals = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    print("\nOn the test galaxies:")
    for name, value in metrics.items():
        ends = intervals.get(name)
        print(f"  {name:<27} {value:<7}" + (f" (95 %: {ends['low']} to {ends['high']})" if ends else ""))
    _show_views(Path("metrics/views.json"))
    _show_seeds(Path("metrics/seeds.json"))
    _show_baselines(Path("metrics/baselines.json"), metrics)
    print("\nmetrics/galaxies.png shows some of them; `dvc plots show` writes all plots to dvc_plots/index.html.")


def _show_views(path: Path) -> None:
    """Print what averaging over the turned and mirrored images of each galaxy changes, where they are stored."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    num_views = found.pop("num_views", 1)
    if num_views > 1:
        print(f"\nAveraged over {num_views} views of each galaxy, and against one view:")
    for name, values in found.items():
        ends = f"95 %: {values['low']:+.4f} to {values['high']:+.4f}"
        print(f"  {name:<27} {values['mean_of_views']:<7} {values['difference']:+.4f} ({ends})")


def _show_seeds(path: Path) -> None:
    """Print mean and standard deviation over the seeds, where there are several."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    num_seeds = found.pop("num_seeds", 1)
    if num_seeds > 1:
        print(f"\nOver {num_seeds} seeds of training:")
    for name, values in found.items():
        print(f"  {name:<27} {values['mean']} ± {values['std']}")


def _show_baselines(path: Path, metrics: dict[str, float]) -> None:
    """Print what simple methods make of the same features, below the head itself."""
    if not path.is_file():
        return
    rows = {"this head": metrics, **json.loads(path.read_text(encoding="utf-8"))}
    columns = ("accuracy", "balanced_accuracy", "macro_f1")
    print("\nThe same features, other methods:" + " " * 5 + "".join(f"{name:>19}" for name in columns))
    for name, values in rows.items():
        print(f"  {name.replace('_', ' '):<35}" + "".join(f"{values[column]:>19}" for column in columns))


def _compare(options: argparse.Namespace) -> None:
    from galaxies.evaluation.comparison import compare_predictions, format_comparison, read_predictions

    first, second = (read_predictions(Path(), revision) for revision in (options.first, options.second))
    table = compare_predictions(first, second)
    print(f"On the same {len(second.galaxies):,} test galaxies:")
    print(format_comparison(table, options.first, options.second))


def _plots_page(options: argparse.Namespace) -> None:
    from galaxies.repository.plots_page import install_plots_page

    install_plots_page(Path(".dvc"))


if __name__ == "__main__":
    sys.exit(main())
