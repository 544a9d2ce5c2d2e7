"""Where other people's embeddings come from, for the file that holds them and for the identity of their store."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbeddingsOrigin:
    """Where embeddings come from: with them, what determines the numbers in their store."""

    sha256: str  # of the table
    columns: tuple[str, ...]  # the one that holds lists, or one a feature
