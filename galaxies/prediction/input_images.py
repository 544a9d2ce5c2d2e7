"""The inputs of a prediction as the source of images from which blocks are filled.

Legend: B inputs of a batch, G of them that have an image, s image size of the backbone, C bands.
"""

from dataclasses import dataclass

import numpy as np
import torch

from galaxies.features.blocks import Loaded
from galaxies.prediction.kept_table import Read
from galaxies.prediction.model import Model
from galaxies.prediction.table import tabulate_inputs
from galaxies.sources.decoding import Decoder
from galaxies.sources.inputs import Input
from galaxies.sources.listing import Listing


@dataclass(frozen=True)
class InputImages:
    """What stands in files of any kind, listed; what cannot be read is a row with its reason."""

    listing: Listing
    decoder: Decoder
    model: Model  # whose backbone says to what size images are brought

    def find(self, start: int, stop: int) -> list[Input]:
        """Return the inputs of rows of one block."""
        return self.listing.read(start, stop)

    def load(self, found: list[Input]) -> Loaded:
        """Return their images as the network sees them but for mean and deviation, (G, s, s, C)."""
        decoded = self.decoder.decode(found)
        images = [one.image for one in decoded if one.image is not None]
        read = Read(tabulate_inputs(decoded), tuple(one.crc32c for one in decoded))
        resized = self.model.resize(images) if images else torch.empty(0)
        places = np.flatnonzero([one.image is not None for one in decoded])
        return Loaded(resized, None if len(places) == len(found) else places, read)
