"""What every config class is: frozen, closed, and documented field by field."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

_NO_NUMBER = PydanticCustomError("truth_is_no_number", "input should be a number")


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

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: object) -> object:
        """Pydantic takes `true` for 1, which would hide a slip such as `model.hidden=true`."""
        given = values if isinstance(values, Mapping) else {}
        faults = [
            InitErrorDetails(type=_NO_NUMBER, loc=(name,), input=given[name])
            for name, field in cls.model_fields.items()
            if field.annotation in (int, float) and isinstance(given.get(name), bool)
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return values
