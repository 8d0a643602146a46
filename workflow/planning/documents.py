"""Write ``config.yaml``, its JSON schema and the README's table of reruns.

``PYTHONPATH=workflow python -m planning.documents`` renews them; tests fail when they differ
from the models and from `planning.reruns`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel

from planning.reruns import markdown
from planning.settings import Section, Settings

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config.yaml"
SCHEMA = REPOSITORY / "workflow" / "schemas" / "config.schema.json"
README = REPOSITORY / "README.md"
WIDTH = 100
HEADER = f"""\
# yaml-language-server: $schema={SCHEMA.relative_to(REPOSITORY).as_posix()}
# Every key with its default, written from workflow/planning/settings.py.
# Keep your own values in a file of your own, which is laid over this one key by key:
#   snakemake --cores 8 --configfile my_city.yaml
"""


def config_text() -> str:
    """Return ``config.yaml``: every key, its default, and above it what it means."""
    return HEADER + "\n".join(_lines(Settings(), 0, set())) + "\n"


def _lines(section: BaseModel, depth: int, told: set[str]) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if depth == 0:
            yield ""
        # The keys of a layer mean the same everywhere, so they are explained once.
        description = field.description or ""
        if depth == 0 or description not in told:
            comment = f"{indent}# "
            yield from textwrap.wrap(
                description, WIDTH, initial_indent=comment, subsequent_indent=comment
            )
        told.add(description)
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _lines(value, depth + 1, told)
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str) and " " in value:
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def schema_text() -> str:
    """Return the JSON schema of ``config.yaml``, for editors that complete and check keys."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Settings.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def readme_text(text: str) -> str:
    """Return the README with its table of reruns renewed.

    Raises
    ------
    ValueError
        If it has no such table.
    """
    table = markdown()
    head = re.escape(table.partition("\n")[0])
    renewed, count = re.subn(rf"{head}\n(?:\|.*\n)*", lambda _: table, text)
    if count != 1:
        raise ValueError(f"{README} has {count} tables of reruns")
    return renewed


def main() -> None:
    """Write all of them."""
    CONFIG.write_text(config_text(), encoding="utf-8")
    SCHEMA.parent.mkdir(parents=True, exist_ok=True)
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    if README.exists():
        README.write_text(readme_text(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
