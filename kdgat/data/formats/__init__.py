"""One reader per on-disk format, each with `parse(path, text, head) -> Capture`.

`text` is the capture or a part of it in whole lines, and `head` the capture's first line, which may
tell its layout. FORMATS says which module reads which format; `kdgat.data.reading` imports the one
asked for.
"""

from __future__ import annotations

FORMATS: dict[str, str] = {
    "can_train_and_test": "kdgat.data.formats.can_train_and_test",
    "car_hacking": "kdgat.data.formats.car_hacking",
    "candump": "kdgat.data.formats.candump",
    "crysys": "kdgat.data.formats.crysys",
}

SUFFIXES: dict[str, tuple[str, ...]] = {
    "can_train_and_test": (".csv",),
    "car_hacking": (".csv", ".txt"),
    "candump": (".log", ".candump", ".txt"),
    "crysys": (".txt", ".log"),
}
"""How the name of a capture ends in each format; `.gz` may follow."""
