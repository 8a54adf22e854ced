r"""The CrySyS trace: no header, fields parted by white space, benign.

    1483093132.049669        0380    000    8    30 bb 82 00 9d 53 00 81

Source: CrySyS Lab, can-log-infector.
"""

from __future__ import annotations

from pathlib import Path

from kdgat.data.formats.bus_logger import read_frames
from kdgat.data.formats.text import cut_lines, read_text
from kdgat.data.messages import Capture

_PATTERN = r"^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+(.*))?$"
_LAYOUT = "time id flags dlc bytes"


def read(path: Path) -> Capture:
    """The capture in `path`, in the file's order.

    Raises:
        DataError: not a readable text file, or a row that can't be parsed.
    """
    return read_frames(path, cut_lines(read_text(path)), _PATTERN, _LAYOUT)
