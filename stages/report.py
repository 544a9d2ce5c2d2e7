"""Make the gallery of the test galaxies: metrics/report.html."""

import json

from galaxies.evaluation.predictions import read_probabilities
from galaxies.gallery.page import list_test_rows, write_gallery, write_reason
from galaxies.paths import EXHIBITS, METRICS, PREDICTIONS
from stages import run_stage


def main() -> None:
    """Put what the head says beside what `audit` has collected."""
    exhibits = json.loads(EXHIBITS.read_text(encoding="utf-8"))
    if "reason" in exhibits:
        write_reason(METRICS / "report.html", exhibits["reason"])
        return
    probabilities = read_probabilities(PREDICTIONS, list_test_rows(exhibits), exhibits["classes"])
    write_gallery(METRICS / "report.html", exhibits, probabilities.tolist())


if __name__ == "__main__":
    run_stage(main)
