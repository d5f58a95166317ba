"""What is typed on a terminal that gives each key at once. Pure."""

import re

MAX_TYPED = 32
"""Characters of a line."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[@-~]?|O.?|.?)")
"""What an arrow or another such key sends."""
_ENTER, _BACKSPACE, _KILL, _END = "\r\n", "\x08\x7f", "\x15", "\x04"


class LineEditor:
    """Makes lines of keys: with backspace, Ctrl-U for the whole line, and Ctrl-D for the end.

    Attributes:
        text: what is typed of the next line.
        ended: whether there was a Ctrl-D on an empty line; nothing is taken behind it.
    """

    def __init__(self) -> None:
        self.text = ""
        self.ended = False

    def take(self, data: bytes) -> list[str]:
        """Take keys, and return the lines that they end."""
        lines = []
        for key in _SEQUENCE.sub("", data.decode(errors="ignore")):
            if self.ended:
                break
            if key in _ENTER:
                lines.append(self.text)
                self.text = ""
            else:
                self._press(key)
        return lines

    def _press(self, key: str) -> None:
        if key in _BACKSPACE:
            self.text = self.text[:-1]
        elif key == _KILL:
            self.text = ""
        elif key == _END:
            self.ended = not self.text
        elif key.isprintable() and len(self.text) < MAX_TYPED:
            self.text += key
