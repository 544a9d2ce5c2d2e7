"""How images were brought to what a network sees: a part of a kept survey's identity, since no catalog names its pixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from galaxies.data.field_of_view import FieldOfView
from galaxies.errors import InputError

SAME_FIELD = 0.01
"""Two heads whose fields differ by less may answer from one survey: over 224 px it is two pixels. The field of a head is the
median of its images, which another selection of them moves."""


@dataclass(frozen=True)
class Framing:
    """What was said of all images of a survey."""

    field: FieldOfView  # what they should show
    as_is: bool = False  # each was taken for the field
    pxscale: float | None = None  # arcsec/px, where the user said it of all
    zero_point: float | None = None  # AB magnitude of a flux of 1, likewise

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; what was not said is left out."""
        said = {"as_is": self.as_is or None, "pxscale": self.pxscale, "zero_point": self.zero_point}
        return {"field": self.field.to_json(), **{name: value for name, value in said.items() if value is not None}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` has written. Raises TypeError or KeyError for anything else."""
        return cls(**{**values, "field": FieldOfView.from_json(values["field"])})

    def require(self, field: FieldOfView, *, where: str) -> str | None:
        """Return what there is to say of a head that knows ``field`` and answers from these images; None where they agree.

        Raises:
            InputError: the fields differ by more than 1 %, or the channels do; ``where`` names the survey.
        """
        if self.field.channels != field.channels:
            raise InputError(
                f"{where} has images of the bands {', '.join(self.field.channels.bands)}, and the head was trained on "
                f"{', '.join(field.channels.bands)}, or they were made otherwise. Keep the images once more with this head."
            )
        found, wanted = self.field, field
        if self.as_is:
            found = wanted = FieldOfView(0, None, None, None)
        if (found.image_size, found.arcsec) == (wanted.image_size, wanted.arcsec):
            return None
        if not _are_near(found.image_size, field.image_size) or (
            wanted.arcsec is not None and (found.arcsec is None or not _are_near(found.arcsec, wanted.arcsec))
        ):
            raise InputError(
                f"{where} shows {describe_field(found)}, and the head was trained on {describe_field(wanted)}: they may differ "
                f"by {SAME_FIELD:.0%}. Keep the images once more with this head, under another name."
            )
        return f"{where} shows {describe_field(found)}, and the head was trained on {describe_field(wanted)}"


def describe_field(field: FieldOfView) -> str:
    """Say a field in arcsec and px."""
    size = f"{field.image_size} px"
    return f"a field of unknown width at {size}" if field.arcsec is None else f"a field of {field.arcsec:.5g} arcsec at {size}"


def widen_field(field: FieldOfView, arcsec: float) -> FieldOfView:
    """Return a field of ``arcsec``, at as many px: images of any other scale are brought to it."""
    pxscale = arcsec / field.image_size
    return replace(field, pxscale=pxscale, finest=pxscale, coarsest=pxscale)


def _are_near(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=0, abs_tol=SAME_FIELD * wanted)
