"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from planning.checks import load
from planning.settings import Settings, all_keys

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CONFIGS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
COMMANDS = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = README.partition(f"\n{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines is not None
    rows = [line.strip("|").split(" | ") for line in lines[0].splitlines()]
    return rows[2:]


@pytest.mark.parametrize("text", CONFIGS, ids=["nyc", "buffer", "polygons", "raster", "pixel"])
def test_every_config_is_accepted(text: str) -> None:
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config.yaml").read_text("utf-8"))
    update_config(config, yaml.safe_load(text))
    assert load(config) != Settings()


def test_every_section_of_the_config_is_told() -> None:
    told = set()
    for row in table("## Settings"):
        names = re.findall(r"`([a-z_.*]+)`", row[0])
        section = ""
        for name in names:
            # `.scale` after `imagery.bands` is imagery.scale
            section = section if name.startswith(".") else name.partition(".")[0]
            told.add(section + name if name.startswith(".") else name)
    keys = set(all_keys(Settings))
    for name in told:
        assert name.removesuffix(".*") in keys, name
    assert {name.partition(".")[0] for name in told} == set(Settings.model_fields)


def test_every_stage_is_told() -> None:
    rules = {path.stem for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")} - {"common"}
    assert {row[0].strip(" `") for row in table("## The chain")} == rules


def test_every_target_of_make_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make ([a-z-]+)", COMMANDS, re.MULTILINE))
    assert {"run", "test", "lint"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_every_file_that_is_linked_or_named_is_in_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split()
    files = tracked or [str(p.relative_to(REPOSITORY)) for p in REPOSITORY.rglob("*")]
    places = re.findall(r"\]\(([^)#:]+)\)", README)
    places += re.findall(r'(?:src|href)="([^":]+)"', README)
    places += re.findall(r"`((?:workflow|envs|profiles|examples|\.ci|docs)/[\w./]*)`", README)
    for place in places:
        assert any(name == place or name.startswith(place) for name in files), place


def test_tensorflow_for_gpus_is_that_of_the_lock() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    [version] = re.findall(r"^tensorflow-cpu==(\S+)", lock, re.MULTILINE)
    assert f'"tensorflow[and-cuda]=={version}"' in COMMANDS
