"""Text for a terminal. Rows, names of files and what servers answer are other people's, and may try to steer it."""

import re
import shutil
import sys

# Control characters but tab and line end; marks that turn the direction of what follows; separators that some take for
# line ends; tags, which nobody sees; halves of characters, which cannot be printed.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with each character that would steer a terminal spelled out, such as \\u001b: in JSON the same value."""
    return STEERING.sub(_spelled, text)


def columns(most: int) -> int:
    """How many columns a line may have: `most`, or those of the terminal that stdout is, if they are fewer."""
    return min(most, shutil.get_terminal_size().columns) if sys.stdout.isatty() else most


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text, in columns: letters of Chinese, Japanese and Korean take two each."""
    from rich.console import Console
    from rich.text import Text

    return [line.plain for line in Text(printable(text)).wrap(Console(width=width), width)] or [""]


def _spelled(found: re.Match[str]) -> str:
    """The character as JSON spells it, of one or two units of 16 bits."""
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def as_size(num_bytes: float) -> str:
    """A number of bytes as a person says it: 999 B, 1.5 GB."""
    size, units = float(num_bytes), ["B", "KB", "MB", "GB", "TB"]
    while size >= 999.95 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
