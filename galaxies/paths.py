"""Where the stages write what the next ones read: paths from the repository's top folder, as in dvc.yaml."""

from pathlib import Path

GALAXIES = Path("data", "galaxies.h5")
CATALOG = Path("data", "catalog.parquet")
CHECKSUMS = Path("data", "checksums.parquet")
SPLITS = Path("data", "splits.parquet")
TARGETS = Path("data", "targets.parquet")
FIELD_OF_VIEW = Path("data", "field_of_view.json")
MEASUREMENTS = Path("data", "measurements.parquet")
POOL = Path("data", "pool.parquet")
POOL_EXHIBITS = Path("data", "pool_exhibits.json")
PROJECTION = Path("data", "projection.parquet")
PROJECTION_PICTURES = Path("data", "projection_pictures.parquet")
EXHIBITS = Path("data", "exhibits.json")
HEAD = Path("models", "head.pt")
METRICS = Path("metrics")
PREDICTIONS = METRICS / "predictions.csv"


def store_path(layer: str) -> Path:
    """Return the store of a layer's activations."""
    return Path("features", f"{layer}.zarr")
