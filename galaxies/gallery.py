"""The gallery: one page, with no need of a network, on which the test galaxies and doubtful labels can be looked at.

The page itself is plain HTML, CSS and JavaScript in ``gallery_page/``; here it is filled in. Legend: N rows of the catalog,
B test rows, K classes, G galaxies on the page, J neighbours.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galaxies.catalog import Catalog, Splits
from galaxies.errors import InputError
from galaxies.evaluation import PROBABILITY_PREFIX
from galaxies.files import write_text
from galaxies.galaxy_file import GalaxyFile
from galaxies.label_errors import Suspect
from galaxies.neighbours import find_neighbours
from galaxies.thumbnails import choose_side, encode_thumbnails

NUM_NEIGHBOURS = 8
"""Shown of each galaxy."""

_PAGE = Path(__file__).parent / "gallery_page"
SCRIPTS = ("data.js", "selection.js", "matrix.js", "grid.js", "detail.js", "main.js")

# As many as one looks through in a sitting; the suspects beyond are in the CSV.
_MAX_SUSPECTS = 200
# Together with the text they keep the page under 25 MB (2,000 simulated test galaxies: 14.6 MB, `benchmarks/gallery.py`).
_MAX_CHARS_SHOWN, _MAX_CHARS_NEIGHBOURS = 14_000_000, 6_000_000
_LARGEST_NEIGHBOUR_PX = 96
_DIGITS = 4


def read_predictions(path: Path, splits: Splits) -> NDArray[np.float64]:
    """Return the probabilities of the test rows, (B, K), in the order of ``splits.rows("test")`` and ``splits.classes``.

    Raises InputError when the file is missing, or is not about these galaxies and classes.
    """
    try:
        table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; `dvc repro evaluate` makes it.") from None
    columns = [f"{PROBABILITY_PREFIX}{name}" for name in splits.classes]
    absent = [column for column in ("row", *columns) if column not in table.columns]
    if absent:
        raise InputError(f"{path} lacks the columns {absent}; `dvc repro evaluate` makes it again.")
    if table["row"].tolist() != splits.rows("test").tolist():
        raise InputError(
            f"{path} has {len(table)} rows that are not the {len(splits.rows('test'))} test rows of data/splits.csv; "
            "`dvc repro evaluate` makes it again."
        )
    return table[columns].to_numpy(np.float64)


def write_gallery(
    path: Path,
    galaxies: GalaxyFile,
    catalog: Catalog,
    splits: Splits,
    *,
    features: NDArray[np.float32],
    probabilities: NDArray[np.float64],
    suspects: Sequence[Suspect],
    facts: Mapping[str, str],
    num_workers: int,
) -> None:
    """Write the page.

    Args:
        path: of the page.
        galaxies: the images, positions and redshifts.
        catalog: the N rows.
        splits: their labels and splits.
        features: standardised, (N, C): what neighbours are near in.
        probabilities: of the test rows, (B, K).
        suspects: the most striking first; the first 200 are shown.
        facts: what stands below the title, by name.
        num_workers: threads that encode thumbnails.
    """
    test, suspects = splits.rows("test"), suspects[:_MAX_SUSPECTS]
    shown = np.union1d(test, np.array([suspect.row for suspect in suspects], np.int64))
    neighbours = find_neighbours(features, shown, group=splits.group, num_neighbours=NUM_NEIGHBOURS)
    rows = np.union1d(shown, neighbours)  # (G,)
    entries = _describe(rows, galaxies, catalog, splits)
    for row, entry in zip(np.searchsorted(rows, test), probabilities.tolist(), strict=True):
        entries[row]["probabilities"] = entry
    for row, near in zip(np.searchsorted(rows, shown), np.searchsorted(rows, neighbours).tolist(), strict=True):
        entries[row]["neighbours"] = near
    for rank, suspect in enumerate(suspects):
        entries[np.searchsorted(rows, suspect.row)]["suspicion"] = _describe_suspect(suspect, rank)
    thumbnails = list(_encode(galaxies, catalog.galaxy[rows], np.isin(rows, shown), num_workers))
    for entry, thumbnail in zip(entries, thumbnails, strict=True):
        entry["chars"] = len(thumbnail)
    content = {"classes": splits.classes, "facts": facts, "galaxies": entries}
    write_text(path, fill_page(content, "".join(thumbnails)))


def _describe(rows: NDArray[np.int64], galaxies: GalaxyFile, catalog: Catalog, splits: Splits) -> list[dict[str, Any]]:
    """Return what is known of each galaxy on the page, as JSON values: what is unknown is left out."""
    entries = []
    for row in rows.tolist():
        index = catalog.galaxy[row]
        entry = {"row": row, "id": catalog.ids[row], "label": int(splits.targets[row]), "split": str(splits.split[row])}
        numbers = {"ra": galaxies.ra[index], "dec": galaxies.dec[index], "redshift": galaxies.redshift[index]}
        entries.append(entry | {name: float(number) for name, number in numbers.items() if np.isfinite(number)})
    return entries


def _describe_suspect(suspect: Suspect, rank: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "suggested": suspect.suggested,
        "confidence": round(suspect.confidence, _DIGITS),
        "labelConfidence": round(suspect.label_confidence, _DIGITS),
        "numAgreeing": suspect.num_agreeing,
        "numNeighbours": suspect.num_neighbours,
    }


def _encode(galaxies: GalaxyFile, indices: NDArray[np.int64], is_shown: NDArray[np.bool_], num_workers: int) -> Iterator[str]:
    """Yield the thumbnails: as large as fits of galaxies shown for themselves, small ones of mere neighbours."""
    large = choose_side(galaxies, indices[is_shown], max_chars=_MAX_CHARS_SHOWN)
    small = choose_side(galaxies, indices[~is_shown], max_chars=_MAX_CHARS_NEIGHBOURS)
    sides = np.where(is_shown, large, min(small, large, _LARGEST_NEIGHBOUR_PX))
    return encode_thumbnails(galaxies, indices, sides, num_workers=num_workers)


def fill_page(content: Mapping[str, Any], thumbnails: str) -> str:
    """Return the page with its style, scripts and content inside.

    Names and ids come from outside: they stand in JSON without a single ``<``, and the scripts set them as text. The page's
    own policy allows no other script, no other style and no request.
    """
    style = (_PAGE / "style.css").read_text(encoding="utf-8")
    script = "\n".join((_PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    parts = {
        "style": style,
        "style_hash": _csp_hash(style),
        "script": script,
        "script_hash": _csp_hash(script),
        "content": json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "thumbnails": thumbnails,
    }
    template = (_PAGE / "page.html").read_text(encoding="utf-8")
    # In one pass, so that a name such as {{script}} in the content stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _csp_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy knows an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
