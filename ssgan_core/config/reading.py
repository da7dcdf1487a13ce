"""Settings from strict YAML and from `--set section.key=value`, and back.

A key that does not exist is an error that names the closest one; so are a doubled key and a value of the wrong type.
`1e-3` is a number here (plain YAML 1.1 reads a string). Aliases are refused: no recipe needs them, and they are how
small files explode.
"""

from __future__ import annotations

import dataclasses
import math
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from ssgan_core.config.settings import Config, DataOptions, ModelConfig
from ssgan_core.errors import SsganError
from ssgan_core.resources import shipped

T = TypeVar("T")


def load_config(
    recipe: str, overrides: list[str] | None = None, data_defaults: dict[str, Any] | None = None
) -> Config:
    """The recipe of a YAML file, or of a shipped one by name, with `section.key=value` overrides.

    Args:
        recipe: a path, or a name in configs/ such as `smoke_cpu`.
        overrides: each `section.key=value`; the value is read as YAML.
        data_defaults: what the `data` section says where the recipe says nothing (a data set's options.json, see
            dataset.options).

    Raises:
        SsganError: not found, not YAML, or not a recipe; the message names file and key.
    """
    path = _find_recipe(recipe)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SsganError(f"cannot read the recipe {path}: {error}") from error
    tree = _parse_yaml(text, str(path))
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise SsganError(f"{path} is no recipe: its top level is not a mapping")
    for override in overrides or []:
        _apply_override(tree, override)
    if data_defaults and isinstance(tree.get("data", {}), dict):
        tree["data"] = {**data_defaults, **tree.get("data", {})}
    return config_from_json(tree, str(path))


def config_from_json(tree: Any, source: str) -> Config:
    """The recipe of nested dictionaries; `source` names them in errors."""
    return _build(Config, tree, source, "")


def model_config_from_json(tree: Any, source: str) -> ModelConfig:
    """The generator's sizes from the `model` section stored with a checkpoint."""
    return _build(ModelConfig, tree, source, "model.")


def data_options_from_json(tree: Any, source: str) -> dict[str, Any]:
    """The settings that a parsed options.json makes, all of them checked; `source` names it in errors."""
    given = _build(DataOptions, tree, source, "")
    return {key: getattr(given, key) for key in tree}


def config_to_json(config: Any) -> dict[str, Any]:
    """Nested dictionaries of plain values; `config_from_json` reads them back."""
    return dataclasses.asdict(config)


def dump_config(config: Config) -> str:
    """The whole recipe as YAML."""
    return yaml.safe_dump(config_to_json(config), sort_keys=False)


def _find_recipe(recipe: str) -> Path:
    path = Path(recipe)
    if path.is_file():
        return path
    folder = shipped("configs")
    if path.name == recipe and (folder / f"{path.stem}.yaml").is_file():
        return folder / f"{path.stem}.yaml"
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    raise SsganError(f"there is no recipe '{recipe}'", f"give a YAML file or one of {', '.join(names)}")


def _build(cls: type[T], tree: Any, source: str, prefix: str) -> T:
    if not isinstance(tree, dict):
        raise SsganError(f"{source}: '{prefix.rstrip('.') or 'recipe'}' is not a mapping")
    hints = get_type_hints(cls)
    for key in tree:
        if key not in hints:
            close = get_close_matches(str(key), hints, 1)
            hint = f"did you mean '{prefix}{close[0]}'?" if close else "keys are " + ", ".join(hints)
            raise SsganError(f"{source}: there is no setting '{prefix}{key}'", hint)
    values = {
        key: _build(hints[key], value, source, f"{prefix}{key}.")
        if dataclasses.is_dataclass(hints[key])
        else _convert(value, hints[key], source, prefix + key)
        for key, value in tree.items()
    }
    try:
        return cls(**values)
    except SsganError as error:
        raise SsganError(f"{source}: {error.message}", error.hint) from error


def _convert(value: Any, kind: type, source: str, name: str) -> Any:
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    words = {
        int: "a whole number",
        float: "a finite number",
        bool: "true or false",
        str: "text",
        dict: "a mapping",
    }
    raise SsganError(f"{source}: '{name}' must be {words[kind]}, got {value!r}")


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise SsganError(f"cannot read --set {override}", "write section.key=value, such as training.batch=8")
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise SsganError(f"--set {override}: '{section}' is no section")
    tree[last] = _parse_yaml(value, f"--set {override}")


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise SsganError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise SsganError(f"{source} is nested too deeply") from None


class _StrictLoader(yaml.SafeLoader):
    """Refuses doubled keys and aliases; reads 1e-3 as a float."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{name}' is given twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
