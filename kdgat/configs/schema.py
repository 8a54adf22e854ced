"""What every config class is: frozen, closed, and documented field by field."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen set of settings; an unknown field or a value of the wrong type is an error.

    Fields are documented by the string under each of them, which becomes the field's description.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )
