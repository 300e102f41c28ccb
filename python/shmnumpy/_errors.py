# SPDX-License-Identifier: MIT
"""What a reader may raise; the names that a traceback shows are those of the package."""


class FormatError(ValueError):
    """The segment is not one that this reader understands; the text says why."""

    __module__ = "shmnumpy"


class Overwritten(RuntimeError):
    """The writer reused the memory of a view before it had been copied."""

    __module__ = "shmnumpy"


class LaunchError(RuntimeError):
    """What launch() started does not play, or no longer: the element's own sentence.

    details   where in GStreamer it comes from, for a report; may be empty
    """

    __module__ = "shmnumpy"

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details
