"""The reference page and the JSON Schema of the configuration, both made from the fields.

``python -m many_models.spec.reference docs/reference`` writes both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from many_models.spec.allowed import Json, allowed_in
from many_models.spec.forecast_spec import ForecastSpec
from many_models.spec.part import Part, below, may_be_null, part_type

PAGE = "configuration.md"
SCHEMA = "spec.schema.json"

INTRODUCTION = """\
# Configuration

<!-- Made by `python -m many_models.spec.reference docs/reference`; do not edit. -->

A configuration is a YAML file, or a `ForecastSpec` built in Python with the same names. It is closed: a key
that is not on this page is an error that names the nearest one, and all mistakes are reported at once.
Only what is marked **required** must be written. An editor that knows JSON Schema can check the file against
[`spec.schema.json`](spec.schema.json).

YAML is read by the rules of version 1.2: `off`, `no` and `007` are text, `true` and `false` the only
booleans. Tags, aliases and a key written twice are refused, as is a file above 1 MB.

The **fingerprint** of a configuration (16 hex characters) changes with everything that decides a forecast. It
does not depend on `name`, `data.path`, `data.table`, `engine`, `registry` and `budget`.

The smallest configuration:

```yaml
data: {path: sales.parquet, time: week, target: quantity, series: [store, product]}
forecast: {horizon: 8}
```
"""


def page() -> str:
    """The reference page, in Markdown: a table for each section."""
    return "\n".join([INTRODUCTION, *_section(ForecastSpec, "Top level")]).rstrip() + "\n"


def schema() -> Json:
    """The JSON Schema of a configuration file."""
    heading = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of many-models",
    }
    return {**heading, **_schema_of(ForecastSpec, "A configuration of many-models.")}


def _schema_of(part: type[Part], description: str) -> Json:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, field in part.model_fields.items() if field.is_required()],
        "properties": {name: _schema_of_field(field) for name, field in part.model_fields.items()},
    }


def _schema_of_field(field: FieldInfo) -> Json:
    inner, description = part_type(field), field.description or ""
    if inner is not None:
        tree = _schema_of(inner, description)
        return {**tree, "type": ["object", "null"]} if may_be_null(field) else tree
    default = {} if field.is_required() else {"default": field.default}
    return {"description": description, **allowed_in(field.metadata).schema, **default}


def schema_text() -> str:
    """The JSON Schema as the text of its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def write(folder: str | Path) -> None:
    """Write the page and the schema into `folder`, which is made where it is missing."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / PAGE).write_text(page(), encoding="utf-8")
    (target / SCHEMA).write_text(schema_text(), encoding="utf-8")


def _section(part: type[Part], title: str, description: str = "") -> Iterator[str]:
    yield f"## {title}\n"
    if description:
        yield f"{description}\n"
    yield "| key | allowed | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in part.model_fields.items():
        yield _row(part, name, field)
    yield ""
    for name, field in part.model_fields.items():
        inner = part_type(field)
        if inner is not None:
            yield from _section(inner, f"`{below(part.section, name)}`", field.description or "")


def _row(part: type[Part], name: str, field: FieldInfo) -> str:
    inner = part_type(field)
    if inner is None:
        allowed, default = allowed_in(field.metadata).text, _default(field)
    else:
        link = f"[a mapping](#{inner.section.replace('.', '')})"
        allowed = f"null | {link}" if may_be_null(field) else link
        none = may_be_null(field) and field.default is None
        default = _default(field) if none else _of_its_keys(inner)
    cells = (f"`{below(part.section, name)}`", allowed, default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _of_its_keys(part: type[Part]) -> str:
    required = any(field.is_required() for field in part.model_fields.values())
    return "**required**" if required else "its keys' defaults"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    return f"`{_yaml_word(field.default)}`"


def _yaml_word(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the reference into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m many_models.spec.reference", description=__doc__)
    parser.add_argument("folder", help="where configuration.md and spec.schema.json go")
    write(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
