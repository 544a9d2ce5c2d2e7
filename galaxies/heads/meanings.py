"""What a head tells, classes, votes, numbers or tags: each kind says what its outputs mean, and what they are worth."""

from collections.abc import Mapping
from typing import Any

from galaxies.heads.class_meaning import ClassMeaning
from galaxies.heads.number_meaning import NumberMeaning
from galaxies.heads.tag_meaning import TagMeaning
from galaxies.heads.vote_meaning import VoteMeaning

Meaning = ClassMeaning | VoteMeaning | NumberMeaning | TagMeaning

_KINDS: dict[str, type[Meaning]] = {kind.KIND: kind for kind in (ClassMeaning, VoteMeaning, NumberMeaning, TagMeaning)}


def pack_meaning(meaning: Meaning) -> dict[str, Any]:
    """Return plain values, for a file."""
    return {"kind": meaning.KIND, **meaning.to_json()}


def unpack_meaning(content: Mapping[str, Any]) -> Meaning:
    """Return what :func:`pack_meaning` gave."""
    return _KINDS[content["kind"]].from_json(content)
