"""No leaf takes what can't be, whichever it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from planning import documents
from planning.checks import load
from planning.errors import PlanningError
from planning.settings import Settings


def numbers(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the leaves that hold one number."""
    schemas = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from numbers(field.annotation, f"{prefix}{name}.")
        elif {"number", "integer"} & {
            str(part.get("type")) for part in (schemas[name], *schemas[name].get("anyOf", ()))
        }:
            yield prefix + name


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "[]", "[1]", "x", "true"])
def test_no_number_is_anything_else(value: str) -> None:
    keys = set(numbers())
    assert {"tiles.size", "labels.threshold", "prediction.threshold", "imagery.nodata"} < keys
    for key in keys:
        if (key, value) == ("imagery.nodata", ".nan"):
            continue
        config: Any = yaml.safe_load(value)
        for part in reversed(key.split(".")):
            config = {part: config}
        with pytest.raises(PlanningError) as caught:
            load(config)
        assert any(problem.startswith(f"{key}: ") for problem in caught.value.problems), config


def test_a_crs_is_known_whatever_the_shell_says_of_proj(tmp_path: Path) -> None:
    rubbish = dict.fromkeys(("PROJ_DATA", "PROJ_LIB"), str(tmp_path))
    code = (
        "from planning.settings import Imagery; import sys; assert 'pyproj' not in sys.modules; "
        "print(Imagery(crs='EPSG:2263').crs)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=documents.REPOSITORY / "workflow",
        env=os.environ | rubbish,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "EPSG:2263\n", done.stderr
