"""Which parameters of what a head learns make sense together: ``train.target`` and those that belong to it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Target = Literal["class", "votes", "number", "tags"]
_Plain = str | float | list[str] | None

# What each parameter is for.
_MEANT_FOR: dict[str, tuple[Target, ...]] = {
    "columns": ("votes", "number", "tags"),
    "questions": ("votes",),
    "questions_sha256": ("votes",),
    "vote_columns": ("votes",),
    "vote_loss": ("votes",),
    "number_loss": ("number",),
    "scales": ("number",),
    "units": ("number",),
    "error_columns": ("number",),
    "class_weight": ("class", "tags"),
    "label_smoothing": ("class", "tags"),
}
# What params.yaml says where a parameter is not for what is learned.
_EMPTY: dict[str, _Plain] = {
    "columns": [],
    "questions": None,
    "questions_sha256": None,
    "vote_columns": "auto",
    "vote_loss": "dirichlet_multinomial",
    "number_loss": "gaussian",
    "scales": [],
    "units": [],
    "error_columns": [],
    "class_weight": "none",
    "label_smoothing": 0.0,
}
# How it is learned, from whatever table.
_OF_LEARNING = ("vote_loss", "number_loss", "class_weight", "label_smoothing")


def plain_values(target: str) -> Mapping[str, _Plain]:
    """Return keys of the section ``train``, some of a section in it, and what they say for a new table with such a target.

    Everything that belongs to other targets is taken back, and all that says something of the columns of the table before;
    how such a target is learned stays.
    """
    keeps = {name for name in _OF_LEARNING if target in _MEANT_FOR[name]}
    values = {name: value for name, value in _EMPTY.items() if name not in keeps}
    tried: dict[str, _Plain] = {"sweep.label_smoothing": []} if "label_smoothing" in values else {}
    return {"target": target, **values, **tried}


def find_target_problems(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not fit together, each complaint beginning with its key.

    Args:
        found: the section ``train``, by key; of label_smoothing the largest.
    """
    target = found["target"]
    for name, targets in _MEANT_FOR.items():
        value = list(found[name]) if isinstance(found[name], tuple) else found[name]
        if target not in targets and value != _EMPTY[name]:
            yield f"{name}: found {_show(found[name])}, but target is {target}; it is for target: {' | '.join(targets)}"
    if target == "votes" and found["questions"] is None:
        yield "questions: found null, but target: votes needs a tree of questions; `galaxies questions` lists the built-in ones"
    columns = found["columns"]
    if target in ("number", "tags") and not columns:
        yield f"columns: found [], but target: {target} needs columns of split.targets, as in [redshift]"
    for name in ("scales", "units", "error_columns") if target == "number" else ():
        if found[name] and len(found[name]) != len(columns):
            yield f"{name}: found {len(found[name])}, but {len(columns)} columns; write one for each column, or []"
    # Questions have names of their own, columns of tables are called alike in capital letters.
    names = columns if target == "votes" else [name.lower() for name in columns]
    counts = Counter(names)
    repeated = [column for column, name in zip(columns, names, strict=True) if counts[name] > 1]
    if repeated:
        yield f"columns: {', '.join(dict.fromkeys(repeated))} stand there more than once; capital letters are no matter"


def _show(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
