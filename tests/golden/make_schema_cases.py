#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data/schema/cases.jsonl: schemas, values and the verdict of Python's jsonschema (draft 2020-12).

One line: {"schema": ..., "valid": [values], "invalid": [values]}. The hand-made part covers each keyword at its edges, the random part
(seeded) mixes them. Left out because the two are meant to differ: multipleOf of decimal fractions (core/schema.h), patterns
whose meaning differs between Python's re and ECMA-262. usage: make_schema_cases.py > tests/golden/data/schema/cases.jsonl"""
import json
import random
import sys

from jsonschema import Draft202012Validator

OUT = []
VALUES = [None, True, False, 0, 1, -1, 2, 3, 1.0, 1.5, -0.5, 2.0, 10, 9007199254740993, 1e300, "", "a", "ab", "abc", "é", "日本語", "a\nb", "2024-01-31",
          [], [1], [1, 2], [1, 1], [1, 1.0], [True, 1], ["a", "b", "a"], [[1], [1]], [{"a": 1}, {"a": 1.0}], [None, None], {}, {"a": 1}, {"a": "x"},
          {"a": 1, "b": 2}, {"b": None}, {"a": {"a": {"a": 1}}}, {"a": [1, 2, {"b": 3}]}, {"": 0}, {"a/b": 1, "c~d": 2}]
HAND = [
    True, False, {}, {"type": "integer"}, {"type": "number"}, {"type": "string"}, {"type": "null"}, {"type": "boolean"}, {"type": "array"}, {"type": "object"},
    {"type": ["integer", "null"]}, {"type": ["string", "array", "boolean"]}, {"enum": [1, "a", None, [1], {"a": 1}]}, {"enum": []}, {"enum": [True]},
    {"const": 1}, {"const": 1.0}, {"const": True}, {"const": {"a": 1.0}}, {"const": [1, 1]}, {"const": None}, {"minimum": 1}, {"maximum": 1},
    {"exclusiveMinimum": 1}, {"exclusiveMaximum": 1}, {"minimum": 1.5, "maximum": 2}, {"exclusiveMinimum": -0.5, "exclusiveMaximum": 0.5},
    {"minimum": 9007199254740993}, {"exclusiveMinimum": 9007199254740992}, {"multipleOf": 2}, {"multipleOf": 0.5}, {"multipleOf": 1}, {"multipleOf": 3},
    {"minLength": 1}, {"maxLength": 1}, {"minLength": 2, "maxLength": 3}, {"maxLength": 0}, {"pattern": "a"}, {"pattern": "^a"}, {"pattern": "b$"},
    {"pattern": "^[a-c]{2,3}$"}, {"pattern": "^$"}, {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, {"pattern": "\u00e9"}, {"pattern": "^.{3}$"}, {"pattern": "^(a|b)+$"},
    {"minItems": 1}, {"maxItems": 1}, {"minItems": 2, "maxItems": 2}, {"uniqueItems": True}, {"uniqueItems": False}, {"items": {"type": "integer"}}, {"items": False},
    {"prefixItems": [{"type": "integer"}]}, {"prefixItems": [{"type": "integer"}, {"const": 2}], "items": False}, {"prefixItems": [True], "items": {"type": "string"}},
    {"properties": {"a": {"type": "integer"}}}, {"properties": {"a": False}}, {"properties": {"a": True}, "additionalProperties": False},
    {"additionalProperties": {"type": "integer"}}, {"additionalProperties": False}, {"required": ["a"]}, {"required": ["a", "b"]}, {"required": []},
    {"required": [""]}, {"properties": {"a/b": {"const": 1}, "c~d": {"const": 2}}, "required": ["a/b", "c~d"]}, {"minProperties": 1}, {"maxProperties": 1},
    {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"anyOf": [{"minimum": 2}, {"type": "string"}]},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]}, {"oneOf": [{"minimum": 1}, {"maximum": 1}]}, {"allOf": [{"minimum": 0}, {"maximum": 1}]},
    {"not": {"type": "integer"}}, {"not": {"not": {"type": "object"}}}, {"not": True}, {"allOf": [{"properties": {"a": True}}], "additionalProperties": False},
    {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}, {"$defs": {"n": {"type": "number"}}, "$ref": "#/$defs/n", "minimum": 1},
    {"definitions": {"t": {"type": "object", "properties": {"a": {"$ref": "#/definitions/t"}}, "additionalProperties": {"type": "integer"}}}, "anyOf": [{"$ref": "#/definitions/t"}, {"type": "integer"}]},
    {"$defs": {"a/b": {"type": "string"}, "c~d": {"type": "null"}}, "anyOf": [{"$ref": "#/$defs/a~1b"}, {"$ref": "#/$defs/c~0d"}]},
    {"$defs": {"x": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/x"}}]}}, "$ref": "#/$defs/x"},
    {"title": "t", "description": "d", "default": 1, "examples": [1], "format": "email", "type": "string"},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}, "b": {"enum": [2, None]}}, "required": ["b"]},
]


def add(schema, values):
    check = Draft202012Validator(schema).is_valid
    OUT.append({"schema": schema, "valid": [v for v in values if check(v)], "invalid": [v for v in values if not check(v)]})


def random_value(r, depth):
    kind = r.randrange(9 if depth < 3 else 6)
    if kind >= 7:
        return {k: random_value(r, depth + 1) for k in r.sample(["a", "b", "c", "d"], r.randrange(4))}
    if kind == 6:
        return [random_value(r, depth + 1) for _ in range(r.randrange(4))]
    return r.choice([None, True, False, r.randrange(-3, 6), r.randrange(-6, 12) / 2, r.choice(["", "a", "b", "ab", "ba", "é", "aab"])])


def random_schema(r, depth):
    if r.random() < 0.04:
        return r.random() < 0.7
    s = {}
    sub = (lambda: random_schema(r, depth + 1)) if depth < 3 else (lambda: {"type": r.choice(["integer", "string", "object"])})
    choices = {
        "type": lambda: r.choice(["integer", "number", "string", "array", "object", "null", "boolean", ["integer", "object"], ["array", "string", "null"]]),
        "minimum": lambda: r.randrange(-2, 3), "maximum": lambda: r.randrange(0, 5), "exclusiveMinimum": lambda: r.randrange(-4, 4) / 2,
        "exclusiveMaximum": lambda: r.randrange(1, 5), "multipleOf": lambda: r.choice([1, 2, 0.5]), "minLength": lambda: r.randrange(3), "maxLength": lambda: r.randrange(1, 4),
        "pattern": lambda: r.choice(["a", "^a", "b$", "^[ab]*$", "^(a|é)?$"]), "minItems": lambda: r.randrange(3), "maxItems": lambda: r.randrange(1, 4),
        "uniqueItems": lambda: r.random() < 0.5, "items": sub, "prefixItems": lambda: [sub() for _ in range(r.randrange(1, 3))],
        "properties": lambda: {k: sub() for k in r.sample(["a", "b", "c"], r.randrange(1, 4))}, "required": lambda: r.sample(["a", "b"], r.randrange(3)),
        "additionalProperties": sub, "minProperties": lambda: r.randrange(2), "maxProperties": lambda: r.randrange(1, 4),
        "anyOf": lambda: [sub() for _ in range(r.randrange(1, 4))], "oneOf": lambda: [sub() for _ in range(r.randrange(1, 4))],
        "allOf": lambda: [sub() for _ in range(r.randrange(1, 3))], "not": sub, "enum": lambda: [random_value(r, 2) for _ in range(4)],
        "const": lambda: random_value(r, 2),
    }
    weights = {"not": 0.15, "enum": 0.2, "const": 0.1, "oneOf": 0.3, "allOf": 0.3}
    for k in choices:
        if r.random() < 0.22 * weights.get(k, 1):
            s[k] = choices[k]()
    return s


def main():
    for schema in HAND:
        add(schema, VALUES)
    r = random.Random(20261125)
    while len(OUT) < len(HAND) + 1000:
        schema = random_schema(r, 0)
        if len(json.dumps(schema)) > 700:
            continue
        add(schema, [random_value(r, 0) for _ in range(30)])
        OUT[-1]["valid"] = OUT[-1]["valid"][:4]
        OUT[-1]["invalid"] = OUT[-1]["invalid"][:4]
    for o in OUT:
        sys.stdout.write(json.dumps(o, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
