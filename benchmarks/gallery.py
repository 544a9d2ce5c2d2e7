"""How large the gallery of 2,000 test galaxies is, and how long it takes to write and to open.

Usage: python -m benchmarks.gallery GALAXIES_H5. The galaxies of the file stand for 13,300 rows, each as often as it takes;
probabilities and features are drawn by chance, so that neighbours are as scattered as they can be.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from galaxies.data.catalog import DIGEST_BYTES, Catalog, CatalogRows, write_catalog
from galaxies.data.catalog_images import CatalogImages
from galaxies.data.galaxy_file import GalaxyFile
from galaxies.data.splits import SPLIT_NAMES, Splits
from galaxies.gallery.exhibits import collect_exhibits
from galaxies.gallery.page import write_gallery
from galaxies.runtime import RuntimeParams
from tests.browser import open_browser

_NUM_ROWS, _NUM_TEST, _NUM_CLASSES, _NUM_FEATURES = 13_300, 2_000, 10, 512


def main() -> None:
    """Print megabytes and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("galaxies", type=Path)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        start = time.perf_counter()
        _write(page, parser.parse_args().galaxies)
        print(f"written: {page.stat().st_size / 1e6:.1f} MB in {time.perf_counter() - start:.0f} s")
        with open_browser() as browser:
            start = time.perf_counter()
            browser.open(page)
            browser.wait("return document.querySelector('.card img')?.naturalWidth")
            print(f"opened, to the first galaxy: {time.perf_counter() - start:.1f} s")
            heap = browser.run("return performance.memory.usedJSHeapSize")
            print(f"JavaScript's heap: {heap / 1e6:.0f} MB")


def _write(page: Path, path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = np.arange(_NUM_ROWS)
    is_test = np.isin(rows, generator.choice(_NUM_ROWS, _NUM_TEST, replace=False))
    split = np.where(is_test, SPLIT_NAMES.index("test"), SPLIT_NAMES.index("train")).astype(np.uint8)
    label = (rows * _NUM_CLASSES // _NUM_ROWS).astype(np.int16)
    splits = Splits(
        label,
        rows,
        split,
        np.zeros_like(split),
        np.zeros_like(split),
        {number: f"class {number}" for number in range(_NUM_CLASSES)},
    )
    with GalaxyFile(path) as galaxies:
        galaxy = rows * galaxies.num_galaxies // _NUM_ROWS
        names, digests = pa.array([f"{row:06d}" for row in rows]), np.zeros((_NUM_ROWS, DIGEST_BYTES), np.uint8)
        write_catalog(page.with_name("catalog.parquet"), CatalogRows(galaxy, names, digests))
        exhibits = collect_exhibits(
            CatalogImages(galaxies, Catalog(page.with_name("catalog.parquet"))),
            splits,
            features=generator.normal(size=(_NUM_ROWS, _NUM_FEATURES)).astype(np.float32),
            suspects=[],
            facts={},
            num_workers=RuntimeParams(device="cpu", batch_size=1, num_workers="auto").count_workers(),
        )
    write_gallery(
        page,
        exhibits,
        generator.dirichlet(np.full(_NUM_CLASSES, 0.3), _NUM_TEST).round(4).tolist(),
        {"pool": 0, "galaxies": []},
    )


if __name__ == "__main__":
    main()
