"""BERT's uncased tokenizer: text to the numbers of a vocabulary.

Written here because `tokenizers`, the usual one, brings the whole client of a model hub with it for
what is sixty lines; a test holds both against numbers that `tokenizers` gave.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

_LONGEST_WORD = 100
_UNKNOWN, _BEGIN, _END = "[UNK]", "[CLS]", "[SEP]"
_PARTS = re.compile(r"[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~]+")
"""Single signs of ASCII's punctuation, and what lies between them."""
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


class WordPiece:
    """A vocabulary, and how text is cut by it."""

    def __init__(self, vocabulary: Path) -> None:
        words = vocabulary.read_text(encoding="utf-8").split("\n")
        self._numbers = {word: number for number, word in enumerate(words) if word}
        self._begin, self._end = self._numbers[_BEGIN], self._numbers[_END]
        # Pages say the same words again and again.
        self._word = lru_cache(maxsize=20_000)(self._cut)

    def encode(self, text: str, limit: int) -> list[int]:
        """The numbers of `text`, at most `limit` of them, between a beginning and an end."""
        numbers = [self._begin]
        for word in _words(text):
            numbers.extend(self._word(word))
            if len(numbers) >= limit:
                break
        return [*numbers[: limit - 1], self._end]

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest known beginning, and so on; a word with an unknown rest is unknown."""
        unknown = (self._numbers[_UNKNOWN],)
        if len(word) > _LONGEST_WORD:
            return unknown
        pieces = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self._numbers.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
            else:
                return unknown
            pieces.append(piece)
            start = end
        return tuple(pieces)


def _words(text: str) -> list[str]:
    text = text.lower()
    # Most words are ASCII, and one expression is far quicker than a look at every letter.
    if not text.isascii():
        text = _spaced(text)
    return [part for word in text.split() for part in _PARTS.findall(word)]


def _spaced(text: str) -> str:
    """Text without accents, with a space around each sign of punctuation."""
    letters = []
    for letter in unicodedata.normalize("NFD", text):
        kind = unicodedata.category(letter)
        if kind == "Mn" or (kind[0] == "C" and not letter.isspace()):
            continue
        alone = kind[0] == "P" or _CHINESE.match(letter)
        letters.append(f" {letter} " if alone else letter)
    return "".join(letters)
