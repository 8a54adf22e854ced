"""A text as words that compare, in any script: for the search of questions and their relevance."""

from __future__ import annotations

import re
import unicodedata

from kdgat.knowledge.extract import words_of
from kdgat.knowledge.question import STOP

_SPACELESS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2,}")
"""Letters of scripts that write words without a space between them."""


def question_words(text: str) -> set[str]:
    """Stems of the words that say something, or of all where none does.

    Where words have no space between them, every two neighbouring letters are one.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    pairs = {
        run[0][at : at + 2] for run in _SPACELESS.finditer(plain) for at in range(len(run[0]) - 1)
    }
    saying = (word for word in re.findall(r"[^\W_]+(?:['\u2019]\w+)?", plain) if word not in STOP)
    return (words_of(" ".join(saying)) or words_of(plain)) | pairs
