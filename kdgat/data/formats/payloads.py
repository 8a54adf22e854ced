"""Hexadecimal text to numbers, a whole column at a time."""

from __future__ import annotations

import polars as pl

PAYLOAD_BYTES_MAX = 8
"""Bytes that a classical CAN frame carries at most."""


def hex_number(text: pl.Expr, dtype: type[pl.UInt32 | pl.UInt64]) -> pl.Expr:
    """The number that hex digits mean; null where they are none or the number does not fit."""
    number = text.str.to_integer(base=16, dtype=dtype, strict=False)
    # The parser would let a plus sign pass; a minus it refuses, as the type has no sign.
    return pl.when(~text.str.starts_with("+")).then(number)


def decode_payloads(text: pl.Series, separator: str) -> pl.DataFrame:
    """Payloads written as hex bytes with `separator` ("" or one character) between them.

    Returns:
        `payload` (UInt64, left-aligned, the first byte in the top eight bits), `dlc` (UInt8, bytes
        in it) and `malformed`: an odd number of digits, more than eight bytes, or something that is
        no hex. Of a malformed payload the whole bytes before the fault are kept, eight at most.
    """
    text = text.rename("text").fill_null("")
    decoded = _decode(_join(text, separator), _tokens_agree(text, separator))
    bad = decoded["malformed"].arg_true()
    if bad.is_empty():
        return decoded
    end = f"(?:{separator}|$)" if separator else ""
    whole = text.gather(bad).str.extract(f"^((?:[0-9A-Fa-f]{{2}}{end}){{0,8}})")
    mended = _decode(_join(whole, separator), None)
    return decoded.with_columns(
        decoded["payload"].scatter(bad, mended["payload"]),
        decoded["dlc"].scatter(bad, mended["dlc"]),
    )


def _decode(digits: pl.Series, agree: pl.Series | None) -> pl.DataFrame:
    """The columns of `decode_payloads`, with zero for a malformed payload."""
    count = pl.col("text").str.len_bytes()
    padded = pl.col("text").str.pad_end(2 * PAYLOAD_BYTES_MAX, "0")
    table = digits.rename("text").to_frame()
    table = table.select(
        hex_number(padded, pl.UInt64).alias("payload"),
        (count // 2).clip(upper_bound=PAYLOAD_BYTES_MAX).cast(pl.UInt8).alias("dlc"),
        ((count % 2 == 1) | (count > 2 * PAYLOAD_BYTES_MAX)).alias("malformed"),
    )
    malformed = table["malformed"] | table["payload"].is_null()
    if agree is not None:
        malformed |= ~agree
    return table.with_columns(pl.col("payload").fill_null(0), malformed.alias("malformed"))


def _join(text: pl.Series, separator: str) -> pl.Series:
    return text.str.replace_all(separator, "", literal=True) if separator else text


def _tokens_agree(text: pl.Series, separator: str) -> pl.Series | None:
    """Whether there are two digits a byte: `1,23,4` has four digits and is not two bytes."""
    if not separator:
        return None
    commas = text.str.count_matches(separator, literal=True).cast(pl.Int64)
    length = text.str.len_bytes().cast(pl.Int64)
    return (length == 3 * commas + 2) | (length == 0)
