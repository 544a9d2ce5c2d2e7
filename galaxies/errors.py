"""The one exception a user is meant to read, and those that damaged files make libraries raise."""

import struct
import zlib

READER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What libraries that read files raise on damaged bytes; each kind was met with files changed at random."""


class InputError(Exception):
    """Something from outside (a file, a catalogue, weights, a parameter) is not what it must be.

    The message says what was found, what was expected, where, and what to do about it. Stages and the command line
    print it without a traceback; every other exception is a defect of this project.
    """
