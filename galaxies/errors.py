"""The one exception a user is meant to read."""


class InputError(Exception):
    """Something from outside (a file, a catalogue, weights, a parameter) is not what it must be.

    The message says what was found, what was expected, where, and what to do about it. Stages and the command line
    print it without a traceback; every other exception is a defect of this project.
    """
