"""What is said of an image beside the answer, and whether it takes the ground from under the answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something that was assumed of an image or done to it."""

    text: str
    is_doubt: bool = False  # the pixels may not show what they are taken for: whatever a network says of them, it abstains


BLANK = Note("blank: every pixel is the same", is_doubt=True)
