"""The gallery: one page, with no need of a network, on which the test galaxies and doubtful labels can be looked at.

The page itself is plain HTML, CSS and JavaScript in ``assets/``; here it is filled in. What it shows of the galaxies was
collected before any head was trained (`galaxies.gallery.exhibits`), so that a new head has its page in a moment.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galaxies.files import write_text

SCRIPTS = ("data.js", "selection.js", "matrix.js", "grid.js", "detail.js", "main.js")

_PAGE = Path(__file__).with_name("assets")


def list_test_rows(exhibits: Mapping[str, Any]) -> list[int]:
    """Return the rows of the test galaxies with a class among what `galaxies.gallery.exhibits` collected."""
    return [galaxy["row"] for galaxy in exhibits["galaxies"] if galaxy["split"] == "test" and galaxy["label"] is not None]


def write_gallery(
    path: Path, exhibits: Mapping[str, Any], probabilities: Sequence[Sequence[float]], pool: Mapping[str, Any]
) -> None:
    """Write the page.

    Args:
        path: of the page.
        exhibits: all that is shown of labelled galaxies but for what the head says, as `galaxies.gallery.exhibits` collects it.
        probabilities: of the test galaxies, in the order of ``list_test_rows``: a number a class each.
        pool: what is shown of galaxies without a label, as `galaxies.gallery.pool_exhibits` collects it.
    """
    said = dict(zip(list_test_rows(exhibits), probabilities, strict=True))
    galaxies, thumbnails = [], []
    for exhibit in _join(exhibits["galaxies"], pool["galaxies"]):
        # All pictures are one text beside the JSON: parsing millions of characters would keep the page closed for a second.
        galaxy = {name: value for name, value in exhibit.items() if name != "thumbnail"}
        galaxy["chars"] = len(exhibit["thumbnail"])
        if exhibit["row"] in said:
            galaxy["probabilities"] = said[exhibit["row"]]
        galaxies.append(galaxy)
        thumbnails.append(exhibit["thumbnail"])
    write_text(path, fill_page({**exhibits, "galaxies": galaxies, "numPool": pool["pool"]}, "".join(thumbnails)))


def _join(galaxies: Sequence[dict[str, Any]], pool: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the galaxies of both lists, each once; neighbours are places in the list of all."""
    place_of_row = {galaxy["row"]: place for place, galaxy in enumerate(galaxies)}
    joined = list(galaxies)
    for galaxy in pool:
        if galaxy["row"] not in place_of_row:
            place_of_row[galaxy["row"]] = len(joined)
            joined.append(galaxy)
    for place in range(len(galaxies), len(joined)):
        near = joined[place].get("neighbours")
        if near is not None:
            joined[place] = {**joined[place], "neighbours": [place_of_row[pool[other]["row"]] for other in near]}
    return joined


def write_reason(path: Path, reason: str) -> None:
    """Write a page that says in one sentence why there is nothing to be seen."""
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    text = f'<p style="font: 1rem/1.5 system-ui, sans-serif; margin: 2rem">{html.escape(reason)}</p>'
    write_text(path, f"{head}<title>Galaxies</title>{text}</html>\n")


def fill_page(content: Mapping[str, Any], thumbnails: str) -> str:
    """Return the page with its style, scripts and content inside.

    Names and ids come from outside: they stand in JSON without a single ``<``, and the scripts set them as text. The page's
    own policy allows no other script, no other style and no request.
    """
    return fill_template("page.html", "style.css", SCRIPTS, content, thumbnails)


def fill_template(name: str, style_name: str, scripts: Sequence[str], content: Mapping[str, Any], thumbnails: str) -> str:
    """Return a page of ``assets/`` with style, scripts and content inside, as :func:`fill_page` says."""
    style = (_PAGE / style_name).read_text(encoding="utf-8")
    script = "\n".join((_PAGE / each).read_text(encoding="utf-8") for each in scripts)
    parts = {
        "style": style,
        "style_hash": _csp_hash(style),
        "script": script,
        "script_hash": _csp_hash(script),
        "content": json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "thumbnails": thumbnails,
    }
    template = (_PAGE / name).read_text(encoding="utf-8")
    # In one pass, so that a name such as {{script}} in the content stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _csp_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy knows an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
