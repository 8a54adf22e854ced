r"""The CrySyS trace: no header, fields parted by white space, benign.

    1483093132.049669        0380    000    8    30 bb 82 00 9d 53 00 81

Source: CrySyS Lab, can-log-infector.
"""

from __future__ import annotations

from pathlib import Path

from kdgat.data.formats.bus_logger import parse_frames
from kdgat.data.formats.text import cut_lines
from kdgat.data.messages import Capture

_PATTERN = r"^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+(.*))?$"
_LAYOUT = "time id flags dlc bytes"


def parse(path: Path, text: bytes, head: str) -> Capture:  # noqa: ARG001
    """The messages in `text`, in its order; `head` is the first line of the capture `path`.

    Raises:
        BadRows: rows that can't be parsed.
    """
    return parse_frames(path, cut_lines(text), _PATTERN, _LAYOUT)
