"""The survey as the first stages left it: row i of catalog, splits and store is the same galaxy."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from galaxies.backbones.spec import ExtractParams
from galaxies.data.catalog import Catalog
from galaxies.data.splits import Splits, read_splits
from galaxies.features.identity import Identity
from galaxies.features.store import Store
from galaxies.paths import CATALOG, SPLITS, store_path


@dataclass(frozen=True)
class Survey:
    """Which galaxies are used, and the activations of one layer. Made by :func:`open_survey`."""

    catalog: Catalog
    store: Store
    folder: Path  # the repository's top

    @cached_property
    def splits(self) -> Splits:
        """Their labels, and which of them train, validate and test; read when asked for. Raises InputError if damaged."""
        return read_splits(self.folder / SPLITS, self.catalog)


def open_survey(layer: str, made_under: ExtractParams | Identity, *, folder: Path = Path()) -> Survey:
    """Open what the stages wrote in the repository at ``folder``.

    Args:
        layer: whose activations are wanted.
        made_under: what these must have been made under: the section ``extract``, or the identity that a head was trained on.
        folder: the repository's top.

    Raises:
        InputError: something is missing, damaged, or of other settings.
    """
    catalog = Catalog(folder / CATALOG)
    store = Store(folder / store_path(layer))
    if isinstance(made_under, ExtractParams):
        made_under = Identity.expected(made_under, layer, catalog.digest)
    store.require(made_under)
    return Survey(catalog, store, folder)
