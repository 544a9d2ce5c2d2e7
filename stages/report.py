"""Make the gallery of the test galaxies: metrics/report.html."""

import json
from pathlib import Path

from galaxies.evaluation.predictions import PREDICTIONS_PATH, read_probabilities
from galaxies.gallery.page import list_test_rows, write_gallery
from stages import run_stage


def main() -> None:
    """Put what the head says beside what `audit` has collected."""
    exhibits = json.loads(Path("data/exhibits.json").read_text(encoding="utf-8"))
    probabilities = read_probabilities(Path(PREDICTIONS_PATH), list_test_rows(exhibits), exhibits["classes"])
    write_gallery(Path("metrics/report.html"), exhibits, probabilities)


if __name__ == "__main__":
    run_stage(main)
