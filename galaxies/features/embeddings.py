"""From the embeddings in ``galaxies.h5`` to the store of the layer of that name: no forward pass, the same machinery.

Legend: N rows of the catalog, R rows of a shard, C features.
"""

from dataclasses import replace

import torch
from tqdm import tqdm

from galaxies.data.catalog_images import CatalogImages
from galaxies.data.embeddings_origin import EmbeddingsOrigin
from galaxies.errors import InputError
from galaxies.features.identity import Identity
from galaxies.features.shard_writer import ShardWriter, pack
from galaxies.features.store import plan_layout
from galaxies.features.unfinished import UnfinishedStore

_PRECISION = "float32"


def identify_embeddings(identity: Identity, rows: CatalogImages) -> Identity:
    """Return the whole identity of a store of embeddings, with where ``galaxies.h5`` says that they come from.

    Raises InputError where the file holds images.
    """
    if rows.galaxies.has_images:
        raise InputError(
            f"extract.layers: found {identity.layer}, but {rows.galaxies.path} holds images; name layers of the backbone, "
            "or use `-S download.source=embeddings` with a table of them."
        )
    origin = rows.galaxies.embeddings_origin
    return replace(identity, embeddings=EmbeddingsOrigin(origin["sha256"], tuple(origin["columns"])))


def store_embeddings(rows: CatalogImages, *, identity: Identity, store: UnfinishedStore) -> None:
    """Fill the store of embeddings, continuing where an earlier run ended; memory holds one shard.

    Args:
        rows: of the catalog, from a file without images.
        identity: whole, as :func:`identify_embeddings` makes it.
        store: where it stands until it is published.

    Raises:
        InputError: an embedding is not the one that ``split`` saw.
    """
    example = rows.read(0, 1)[:, None]  # (1, V = 1, C)
    layout = plan_layout(example, _PRECISION)
    store.open(num_rows=len(rows), layout=layout, identity=identity)
    writer = ShardWriter(store, _PRECISION)
    for start in tqdm(range(0, len(rows), layout.shard_rows), "embeddings", unit="shard", delay=2):
        if writer.has_row(start):
            continue
        embeddings = torch.from_numpy(rows.read(start, min(start + layout.shard_rows, len(rows)))).unsqueeze(1)  # (R, 1, C)
        shard = writer.add(start, *pack(embeddings, _PRECISION))
        assert shard is not None  # All its rows came at once.
        writer.write(shard)
