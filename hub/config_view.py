"""The settings as an operator sees them: what is in force, where it comes from, and no secret."""

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from hub.config import Settings, variable_name
from hub.config_values import NamedSecret

Source = Literal["environment", "default", "derived", "generated"]

MASK = "********"
_UNSET = {"rate_limit": "off", "user_rate_limit": "off"}
_URL_PASSWORD = re.compile(r"(?<=://)([^:@]*):.*(?=@)")  # greedy: a password may hold any sign
_QUERY_PASSWORD = re.compile(r"(?i)([?&][^=&#]*(?:password|token|secret|key)[^=&#]*=)[^&#]*")


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting: `value` as it would be written in the environment ("" for unset), secrets masked."""

    variable: str
    value: str
    source: Source
    description: str


def describe_settings(settings: Settings) -> list[SettingLine]:
    """Return every setting that is in force, in the order of the model."""
    return [
        SettingLine(
            variable_name(name),
            _show(getattr(settings, name), unset=_UNSET.get(name, "")),
            _source(settings, name, field),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def list_settings() -> list[SettingLine]:
    """Return every setting there is with its default, for help texts; needs no valid environment."""
    return [
        SettingLine(
            variable_name(name),
            "" if _is_derived(field) else _show(field.default),
            "derived" if _is_derived(field) else "default",
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _source(settings: Settings, name: str, field: FieldInfo) -> Source:
    if name in settings.generated:
        return "generated"
    if name in settings.model_fields_set:
        return "environment"
    return "derived" if _is_derived(field) else "default"


def _is_derived(field: FieldInfo) -> bool:
    return field.default_factory is not None


def _show(value: object, unset: str = "") -> str:
    match value:
        case None:
            shown = unset
        case bool():
            shown = str(value).lower()
        case float():
            shown = f"{value:g}"
        case SecretStr():
            shown = MASK
        case NamedSecret(kid=kid):
            shown = f"{kid}:{MASK}"
        case tuple():
            shown = ",".join(map(_show, value))
        case frozenset():
            shown = ",".join(sorted(map(_show, value)))
        case _:
            shown = _mask_url(str(value))
    return shown


def _mask_url(text: str) -> str:
    if "://" not in text:
        return text
    return _QUERY_PASSWORD.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}", text))
