"""What the outputs of a head for classes mean: the class of each logit, and what the logits are worth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from galaxies.heads.calibration import Calibration


@dataclass(frozen=True)
class ClassMeaning:
    """Of K logits."""

    KIND: ClassVar = "class"

    calibration: Calibration  # what the logits are worth
    class_names: tuple[str, ...]  # of the K logits
    train_counts: tuple[int, ...]  # train galaxies in each of the K classes

    @property
    def names(self) -> tuple[str, ...]:
        """What the head tells."""
        return self.class_names

    @property
    def num_outputs(self) -> int:
        """K."""
        return len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "calibration": asdict(self.calibration),
            "class_names": list(self.class_names),
            "train_counts": list(self.train_counts),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` gave."""
        calibration = Calibration(**content["calibration"])
        return cls(calibration, tuple(content["class_names"]), tuple(content["train_counts"]))
