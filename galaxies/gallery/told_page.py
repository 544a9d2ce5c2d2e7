"""The gallery of a head for votes, numbers or tags: one page without a script, the galaxies it is farthest off first.

Legend: B test galaxies, P answers, numbers or tags.
"""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galaxies.evaluation.told_predictions import SavedTold
from galaxies.files import write_text

# Together with their pictures they keep the page at a few megabytes.
_MOST_SHOWN = 400

_STYLE = """
body { background: #101014; color: #e8e8ea; font: 14px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; }
h1 { font-size: 20px; } p { color: #9a9aa4; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 14px; }
article { background: #1b1b22; border-radius: 6px; padding: 10px; }
img { width: 100%; image-rendering: auto; border-radius: 4px; } h2 { font-size: 13px; margin: 6px 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: 12px; } td { padding: 1px 4px; } td + td { text-align: right; }
.far { color: #ff8559; } summary { cursor: pointer; color: #9a9aa4; font-size: 12px; }
"""

_NUM_FIRST = 3


def distances(saved: SavedTold) -> NDArray[np.float64]:
    """Return how far off each galaxy's values are, (B, P): in the scatter of what is true, of fractions and tags as they are.

    NaN where nothing is known.
    """
    with np.errstate(invalid="ignore"):
        lowest, highest = np.nanmin(saved.true, initial=0.0), np.nanmax(saved.true, initial=0.0)
    scatter = np.ones(len(saved.names))
    if lowest < 0 or highest > 1:
        scatter = np.array([column[~np.isnan(column)].std() or 1.0 for column in saved.true.T])
    found: NDArray[np.float64] = np.abs(saved.predicted - saved.true) / scatter
    return found


def write_told_gallery(path: Path, exhibits: Mapping[str, Any], saved: SavedTold) -> None:
    """Write the page.

    Args:
        path: of the page.
        exhibits: pictures and facts, as `galaxies.gallery.exhibits` collects them.
        saved: what is true and was told of the test galaxies.
    """
    far = distances(saved)
    mean = np.where(np.isnan(far), 0, far).sum(axis=1) / np.maximum((~np.isnan(far)).sum(axis=1), 1)
    order = np.argsort(-mean, kind="stable")[:_MOST_SHOWN]
    shown = {galaxy["row"]: galaxy for galaxy in exhibits["galaxies"]}
    rows = saved.galaxies["row"].tolist()
    cards = [_write_card(shown[rows[place]], saved, far[place], int(place)) for place in order.tolist() if rows[place] in shown]
    facts = ", ".join(f"{escape(name)}: {escape(str(value))}" for name, value in exhibits["facts"].items())
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test galaxies</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body><h1>Test galaxies, the head farthest off first</h1>"
        f"<p>{len(cards):,} of {len(rows):,} test galaxies; {facts}. Below each what was said or measured, then what the head "
        f"tells, the farthest apart first.</p><main>{''.join(cards)}</main></body></html>\n"
    )
    write_text(path, page)


def _write_card(galaxy: Mapping[str, Any], saved: SavedTold, far: NDArray[np.float64], place: int) -> str:
    known = np.flatnonzero(~np.isnan(far))
    first = known[np.argsort(-far[known], kind="stable")][:_NUM_FIRST]
    everything = "".join(_write_rows(saved, range(len(saved.names)), place))
    rest = f"<details><summary>all {len(saved.names)}</summary><table>{everything}"
    return (
        f'<article><img alt="" src="data:image/webp;base64,{galaxy["thumbnail"]}"><h2>{escape(galaxy["id"])}</h2>'
        f"<table>{''.join(_write_rows(saved, first.tolist(), place))}</table>{rest}</table></details></article>"
    )


def _write_rows(saved: SavedTold, columns: Any, place: int) -> Iterator[str]:
    for column in columns:
        true, predicted = saved.true[place, column], saved.predicted[place, column]
        said = "–" if np.isnan(true) else f"{true:.3g}"
        mark = ' class="far"' if abs(predicted - true) > 0.5 else ""
        yield f"<tr><td>{escape(saved.names[column])}</td><td>{said}</td><td{mark}>{predicted:.3g}</td></tr>"
