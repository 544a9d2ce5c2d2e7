"""Make the gallery of the test galaxies and the pool: metrics/report.html."""

import json

from galaxies.evaluation.predictions import read_probabilities
from galaxies.evaluation.told_predictions import parse_told, tells_no_classes
from galaxies.gallery.page import list_test_rows, write_gallery, write_reason
from galaxies.gallery.told_page import write_told_gallery
from galaxies.paths import EXHIBITS, METRICS, POOL_EXHIBITS, PREDICTIONS
from stages import run_stage


def main() -> None:
    """Put what the head says beside what `audit` and `classify` have collected."""
    exhibits = json.loads(EXHIBITS.read_text(encoding="utf-8"))
    text = PREDICTIONS.read_text(encoding="utf-8") if PREDICTIONS.is_file() else ""
    if "reason" in exhibits:
        write_reason(METRICS / "report.html", exhibits["reason"])
        return
    if tells_no_classes(text):
        write_told_gallery(METRICS / "report.html", exhibits, parse_told(text, "workspace"))
        return
    probabilities = read_probabilities(PREDICTIONS, list_test_rows(exhibits), exhibits["classes"])
    pool = json.loads(POOL_EXHIBITS.read_text(encoding="utf-8"))
    write_gallery(METRICS / "report.html", exhibits, probabilities.tolist(), pool)


if __name__ == "__main__":
    run_stage(main)
