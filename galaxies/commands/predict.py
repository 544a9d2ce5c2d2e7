"""Commands that ask a trained model about a user's own galaxies, or take it elsewhere."""

import argparse
from pathlib import Path

from galaxies.commands.command import Command, add_model_options, count
from galaxies.paths import store_path


def _predict(options: argparse.Namespace) -> None:
    from galaxies.prediction.answers import ask
    from galaxies.prediction.model import load
    from galaxies.prediction.result_file import format_counts
    from galaxies.prediction.run import PredictOptions, is_survey, predict_inputs, predict_survey
    from galaxies.runtime import RuntimeParams
    from galaxies.sources.image_reader import ReadOptions

    num_workers = RuntimeParams(num_workers="auto" if options.num_workers is None else options.num_workers).count_workers()
    settings = PredictOptions(
        options.batch_size,
        num_workers,
        options.limit,
        options.allow_outside,
        options.metrics,
        options.adapt,
        ReadOptions(options.zero_point, options.pixel_scale, options.as_is),
        options.keep,
        options.field,
    )
    if is_survey(options.input):
        device = RuntimeParams(options.device).pick_device()
        counts = predict_survey(Path(options.input), options.out, ask(options.model_dir, device=device), settings)
    else:
        model = load(options.model_dir, weights=options.weights, device=options.device, forward=options.forward)
        counts = predict_inputs(options.input, options.out, model, settings)
    print(f"{options.out}: {format_counts(counts)}")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", help="a file, a folder, a 'pattern*', a .csv, .parquet or .txt catalogue, an .h5 file, or a kept survey"
    )
    parser.add_argument("--out", type=Path, required=True, help="the result, .parquet or .csv: a row an input, in its order")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="SURVEY.zarr",
        help="keep the activations there, and a table beside them: another head then answers in seconds, and of inputs added "
        "at the end these alone are computed",
    )
    parser.add_argument("--metrics", type=Path, help="write metrics of labelled inputs to this JSON file")
    parser.add_argument("--limit", type=count, help="predict the first inputs only")
    parser.add_argument("--batch-size", type=count, default=64, help="images in one forward pass (64)")
    parser.add_argument("--num-workers", type=int, help="threads that decode (one a core)")
    parser.add_argument("--adapt", action="store_true", help="standardise features by the inputs' own: for another survey")
    parser.add_argument("--allow-outside", action="store_true", help="follow a catalogue's paths out of its folder")
    _add_image_options(parser)
    add_model_options(parser)


def _add_image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--zero-point",
        type=_magnitude,
        metavar="MAG",
        help="AB magnitude of a flux of 1, in FITS files whose header names no unit",
    )
    parser.add_argument("--pixel-scale", type=_above_0, metavar="ARCSEC", help="arcsec/px of all images, whatever else is said")
    parser.add_argument(
        "--field", type=_above_0, metavar="ARCSEC", help="the field that all images show (the head's own); within 1 %% of that"
    )
    parser.add_argument("--as-is", action="store_true", help="take each image for the field: neither crop nor resample it")


def _magnitude(text: str) -> float:
    number = float(text)
    if not -50 < number < 80:
        raise argparse.ArgumentTypeError(f"found {text}, expected an AB magnitude, such as 22.5 for nanomaggies")
    return number


def _above_0(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text}, expected a number above 0")
    return number


def _similar(options: argparse.Namespace) -> None:
    from galaxies.prediction.model import load
    from galaxies.prediction.similarity import draw_similar, find_similar, format_similar
    from galaxies.prediction.stored_survey import open_survey

    model = load(options.model_dir, weights=options.weights, device=options.device, forward=options.forward)
    survey = open_survey(options.survey or store_path(model.trained.identity.layer))
    image, found = find_similar(options.image, model, survey, number=options.number)
    draw_similar(options.out, image, found, title=f"Most similar to {options.image}")
    for line in format_similar(found):
        print(line)
    print(f"{options.out} shows them.")


def _add_similar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", help="a JPEG, PNG, TIFF or FITS file")
    parser.add_argument("--number", type=count, default=11, help="galaxies to show (11)")
    _add_survey_option(parser)
    parser.add_argument("--out", type=Path, default=Path("similar.png"), help="the contact sheet (similar.png)")
    add_model_options(parser)


def _export(options: argparse.Namespace) -> None:
    from galaxies.files import format_bytes
    from galaxies.prediction.export import export_model
    from galaxies.prediction.feature_table import export_features
    from galaxies.prediction.model import load, load_answering
    from galaxies.prediction.stored_survey import open_survey

    if options.out.suffix.lower() == ".parquet":
        survey = options.survey or store_path(load_answering(options.model_dir)[0].identity.layer)
        export_features(open_survey(survey), options.out)
    else:
        model = load(options.model_dir, weights=options.weights, device="cpu")
        export_model(model, options.out, image_size=options.image_size)
    print(f"{options.out}: {format_bytes(options.out.stat().st_size)}")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, help="model.onnx, model.pt2 (torch.export), or features.parquet")
    parser.add_argument("--image-size", type=count, help="px of the images that the file will take (those of training)")
    _add_survey_option(parser)
    add_model_options(parser)


def _add_survey_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--survey",
        type=Path,
        metavar="SURVEY.zarr",
        help="whose features: a kept survey (the pipeline's store of the head's layer)",
    )


COMMANDS = (
    Command(
        "predict",
        "predict your own galaxies: images, FITS files, catalogues of them, HDF5",
        "galaxies predict 'cutouts/*.fits' --out predictions.parquet",
        _predict,
        _add_predict,
    ),
    Command(
        "similar",
        "find the galaxies of the catalogue, or of a kept survey, that look most like an image",
        "galaxies similar ngc1300.jpg --number 5",
        _similar,
        _add_similar,
    ),
    Command(
        "export",
        "write backbone and head as one file, or the features for other tools",
        "galaxies export model.onnx",
        _export,
        _add_export,
    ),
)
