"""Which parameters of what a head learns make sense together: ``train.target`` and those that belong to it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Target = Literal["class", "votes", "number", "tags"]

# What each parameter is for, beside its empty value.
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
_EMPTY: dict[str, object] = {
    "vote_columns": "auto",
    "vote_loss": "dirichlet_multinomial",
    "number_loss": "gaussian",
    "class_weight": "none",
    "label_smoothing": 0.0,
}


def find_target_problems(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not fit together, each complaint beginning with its key.

    Args:
        found: the section ``train``, by key; of label_smoothing the largest.
    """
    target = found["target"]
    for name, targets in _MEANT_FOR.items():
        is_empty = found[name] in (_EMPTY.get(name), None, ())
        if target not in targets and not is_empty:
            yield f"{name}: found {_show(found[name])}, but target is {target}; it is for target: {' | '.join(targets)}"
    if target == "votes" and found["questions"] is None:
        yield "questions: found null, but target: votes needs a tree of questions; `galaxies questions` lists the built-in ones"
    columns = found["columns"]
    if target in ("number", "tags") and not columns:
        yield f"columns: found [], but target: {target} needs columns of split.targets, as in [redshift]"
    for name in ("scales", "units", "error_columns") if target == "number" else ():
        if found[name] and len(found[name]) != len(columns):
            yield f"{name}: found {len(found[name])}, but {len(columns)} columns; write one for each column, or []"
    repeated = sorted(name for name, count in Counter(columns).items() if count > 1)
    if repeated:
        yield f"columns: {', '.join(repeated)} stand there more than once"


def _show(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
