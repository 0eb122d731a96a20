"""The reference page and the schema: up to date, complete, and in agreement with the validation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from many_models.spec import ForecastSpec, reference, yaml_text
from many_models.spec.allowed import allowed_in
from many_models.spec.part import part_type

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def leaves(part, where=""):
    for name, field in part.model_fields.items():
        inner = part_type(field)
        yield from leaves(inner, f"{where}{name}.") if inner else [(f"{where}{name}", field)]


@pytest.mark.parametrize("name", [reference.PAGE, reference.SCHEMA])
def test_the_committed_reference_is_up_to_date(tmp_path: Path, name: str):
    reference.main([str(tmp_path / "made")])
    made = (tmp_path / "made" / name).read_text(encoding="utf-8")
    assert (DOCS / name).read_text(encoding="utf-8") == made, (
        "run: python -m many_models.spec.reference docs/reference"
    )


def test_every_setting_is_described_in_one_line_on_the_page():
    rows = [line for line in reference.page().splitlines() if line.startswith("| `")]
    for dotted, field in leaves(ForecastSpec):
        assert field.description, dotted
        assert "\n" not in field.description, dotted
        (row,) = [row for row in rows if row.startswith(f"| `{dotted}` |")]
        assert field.description in row
        assert allowed_in(field.metadata).text.replace("|", "\\|") in row
        assert ("**required**" in row) == field.is_required()


def test_defaults_pass_their_own_check():
    for dotted, field in leaves(ForecastSpec):
        if not field.is_required():
            assert allowed_in(field.metadata).check(field.default) == field.default, dotted


def property_at(tree, dotted):
    for name in dotted.split("."):
        tree = tree["properties"][name]
    return tree


def test_the_schema_closes_every_mapping_and_names_what_is_required():
    tree = reference.schema()
    assert tree["required"] == ["data", "forecast"]
    assert tree["properties"]["data"]["required"] == ["time", "target", "series"]
    for dotted, _ in leaves(ForecastSpec):
        parent = property_at(tree, dotted.rpartition(".")[0]) if "." in dotted else tree
        assert parent["additionalProperties"] is False
        assert property_at(tree, dotted)["description"]
    assert json.loads(reference.schema_text()) == json.loads(json.dumps(tree))


SCHEMA_TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
    "array": (list, tuple),
}


def accepts(schema, value):
    """A slow, obvious reading of the few words of JSON Schema that the settings use."""
    if "anyOf" in schema:
        return any(accepts(option, value) for option in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return value is schema["const"]
    kind = schema["type"]
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, SCHEMA_TYPES[kind]):
        return False
    if kind == "array":
        distinct = len({repr(entry) for entry in value}) == len(value)
        return (
            distinct
            and len(value) >= schema.get("minItems", 0)
            and all(accepts(schema["items"], v) for v in value)
        )
    if kind == "string":
        return len(value) >= schema.get("minLength", 0)
    if kind == "null":
        return True
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


VALUES = [None, False, True, 0, 1, 2, 21, -1, 0.5, 1.5, "", "auto", "off", "start", "US", "ets", "local"]
VALUES += [[], [1], [2, 3], [0.2, 0.7], ["a"], ["ets"], ["a", "a"], [0]]


def test_what_the_validation_takes_the_schema_takes_too():
    tree = reference.schema()
    for dotted, field in leaves(ForecastSpec):
        for value in VALUES:
            if value is False and "off" in allowed_in(field.metadata).text:
                continue  # YAML 1.1's reading of `off`, which the schema need not know
            try:
                allowed_in(field.metadata).check(value)
            except ValueError:
                continue
            assert accepts(property_at(tree, dotted), value), (dotted, value)


def test_the_smallest_configuration_of_the_page_is_right():
    block = reference.page().split("```yaml\n")[1].split("```")[0]
    spec = ForecastSpec.from_dict(yaml_text.parse(block, reference.PAGE))
    assert spec.forecast.horizon == 8
