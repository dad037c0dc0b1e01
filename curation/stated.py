"""What only a person can say of data and models: card.yaml, of which no line is needed."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import click
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

License = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]  # of https://hf.co/docs/hub/repositories-licenses
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")]  # ISO 639
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
HubId = Annotated[str, Field(pattern=r"^([\w-]+/)?[\w.-]+$")]  # of a data set on the Hugging Face Hub
OPTIONAL = ("license_name", "license_link", "organizations", "hub_id", "version", "citation")
Names = Annotated[list[Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)]


class _Section(BaseModel):
    """What the sections of card.yaml share."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, str_min_length=1)

    license: License | None = None
    license_name: str | None = None
    license_link: str | None = None  # an address, or a file beside the card
    creators: Names | None = None  # people
    organizations: Names | None = None
    contact: str | None = None
    intended_use: str | None = None
    out_of_scope_use: str | None = None

    @model_validator(mode="after")
    def _other_is_named(self) -> Self:
        if self.license == "other" and not (self.license_name and self.license_link):
            raise ValueError("a license `other` needs `license_name` and `license_link` beside it")
        return self


class Data(_Section):
    """Section `data` of card.yaml."""

    name: str | None = None
    description: str | None = None
    language: list[Language] | None = Field(default=None, min_length=1)
    hub_id: HubId | None = None
    url: Url | None = None
    version: str | None = None
    date_published: datetime.date | None = None
    citation: str | None = None  # BibTeX, best
    source: str | None = None  # who or what is heard, where and when
    collection: str | None = None  # how it was recorded and chosen
    labelling: str | None = None  # how the given labels came about
    consent: str | None = None
    personal_data: str | None = None


class Models(_Section):
    """Section `models` of card.yaml."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    data: Data = Data()
    models: Models = Models()


@dataclass(frozen=True)
class Stated:
    """What people have said, and where they say it."""

    path: Path
    data: Data
    models: Models

    def line(self, section: str, *keys: str) -> str:
        """Return on one line what is said under `keys`, or how to say it."""
        return " ".join(self.text(section, *keys).split())

    def text(self, section: str, *keys: str) -> str:
        """Return as Markdown, of which HTML is no part, what is said under `keys`, or how to say it."""
        values = [getattr(getattr(self, section), key) for key in keys]
        said = [", ".join(value) if isinstance(value, list) else str(value) for value in values if value is not None]
        return ", ".join(said).replace("<", "&lt;") or f"not stated (`{section}.{keys[0]}` in `{self.path.name}`)"

    def missing(self) -> list[str]:
        """Return what is not said and should be, as `data.license`."""
        sections: dict[str, _Section] = {"data": self.data, "models": self.models}
        return [
            f"{name}.{key}"
            for name, section in sections.items()
            for key, value in section
            if value is None and key not in OPTIONAL and not (key == "creators" and section.organizations)
        ]


def read(path: Path) -> Stated:
    """Return what is said in the file `path`; where there is none, nothing is.

    Raises:
        click.ClickException: it is not YAML, or has a key or a value that it may not have.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        document = _Document.model_validate(
            {section: facts or {} for section, facts in content.items()} if isinstance(content, dict) else content
        )
    except FileNotFoundError:
        document = _Document()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} is not YAML in UTF-8: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}" for fault in error.errors())
        raise click.ClickException(f"{path}: {faults}. docs/cards.md lists what may stand there.") from error
    return Stated(path, document.data, document.models)
