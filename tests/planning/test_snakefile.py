"""The rules keep to the house style, and the workflow's front door works."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from shapely import LineString
from snakemake.api import SnakemakeApi
from snakemake.rules import Rule
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings, ResourceSettings
from working_folder import REPOSITORY, Folder, pictures, write_card, write_layer

from planning import reruns
from planning.plan import LABEL_KEYS, Plan, summary
from planning.settings import Settings, leaves
from roadmask.__main__ import COMMANDS

FILES = {path.stem: path for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")}
STAGES = (
    "demo",
    "scenes",
    "tiles",
    "tone",
    "lines",
    "masks",
    "selection",
    "dataset",
    "model",
    "predictions",
    "vectors",
    "changes",
    "evaluation",
    "project",
    "report",
)
ENVIRONMENTS = REPOSITORY / "envs"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rule]:
    """All rules of the demo city, as Snakemake reads them."""
    folder = tmp_path_factory.mktemp("rules")
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1), snakefile=REPOSITORY / "Snakefile", workdir=folder
        )
        return {rule.name: rule for rule in workflow._workflow.rules}


@pytest.fixture
def running(rules: dict[str, Rule]) -> dict[str, Rule]:
    """The rules that run something."""
    return {name: rule for name, rule in rules.items() if rule.shellcmd}


def command_of(rule: Rule) -> str:
    """Return the name of the stage that a rule calls."""
    found = re.match(r"python -m roadmask ([\w-]+) ", rule.shellcmd)
    assert found is not None, rule.name
    return found[1]


def environment_of(rule: Rule) -> Path:
    return Path(rule.snakefile).parent / str(rule.conda_env)


def test_every_stage_has_its_file_and_its_target(rules: dict[str, Rule]) -> None:
    assert set(FILES) == {*STAGES, "common"}
    for stage in STAGES:
        assert rules[stage].input
        assert rules[stage].shellcmd is None
        assert Path(rules[stage].snakefile) == FILES[stage]
    assert next(iter(rules)) == "all"


def test_all_stages_are_called(running: dict[str, Rule]) -> None:
    assert {command_of(rule) for rule in running.values()} == set(COMMANDS)
    assert {reruns.step_of(name) for name in running} == set(reruns.STEPS)


def test_every_output_is_asked_for(rules: dict[str, Rule], running: dict[str, Rule]) -> None:
    # Snakemake notices only the loss of files that something needs.
    def of_one_scene(file: object) -> str:
        one = re.sub(r"\{scene[^}]*\}", "demo_1", str(file))
        return re.sub(r"\{half[^}]*\}", "even", one)

    needed = {of_one_scene(file) for rule in rules.values() for file in rule.input}
    # The demo city has none from elsewhere; a ready model asks for them.
    needed.add("results/tone/flights/{flight}.json")
    for name, rule in running.items():
        if name in ("draw_map", "label_map"):  # for scenes of prediction.paths, elsewhere
            continue
        assert {of_one_scene(file) for file in rule.output} <= needed, name


def test_every_rule_has_log_benchmark_message_memory_and_code(running: dict[str, Rule]) -> None:
    plan = Plan(Settings(), REPOSITORY / "workflow")
    for name, rule in running.items():
        [log] = rule.log
        assert log.startswith("results/logs/") and log.endswith(".log")
        assert str(rule.benchmark).startswith("results/benchmarks/")
        assert rule.message
        assert "mem_mb" in rule.resources
        module = COMMANDS[command_of(rule)].removeprefix("roadmask.")
        assert rule.params.code == plan.code(module), name
        assert rule.shellcmd.endswith(" --log {log:q}")


def test_every_name_in_a_command_is_quoted(running: dict[str, Rule]) -> None:
    for rule in running.values():
        # {{scene}} is no field of Snakemake's: the command writes it out.
        for field in re.findall(r"{([^}]*)}", rule.shellcmd.replace("{{scene}}", "")):
            assert field.endswith(":q") or field == "threads", rule.name


def test_every_rules_environment_exists(running: dict[str, Rule]) -> None:
    for rule in running.values():
        assert environment_of(rule).resolve().parent == ENVIRONMENTS
        assert environment_of(rule).is_file()


def test_environments_agree_with_the_lock() -> None:
    done = subprocess.run(
        [sys.executable, "workflow/tools/make_envs.py", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def pins(environment: str) -> dict[str, str]:
    content = yaml.safe_load((ENVIRONMENTS / f"{environment}.yaml").read_text(encoding="utf-8"))
    [pip] = [part["pip"] for part in content["dependencies"] if isinstance(part, dict)]
    return dict(line.partition(";")[0].strip().split("==") for line in pip)


def test_environments_hold_what_is_installed_here() -> None:
    for name, version in pins("tensorflow").items():
        if name != "tensorflow":  # on this platform it is tensorflow-cpu
            assert importlib.metadata.version(name) == version


def imported(module: str) -> set[str]:
    """Return the top modules that a stage's code imports."""
    plan = Plan(Settings(), REPOSITORY / "workflow")
    names: set[str] = set()
    for path in plan.code_files(module):
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names - {*sys.stdlib_module_names, "roadmask"}


def test_environments_hold_what_the_stages_import(running: dict[str, Rule]) -> None:
    holders = importlib.metadata.packages_distributions()
    for rule in running.values():
        environment = environment_of(rule).stem
        pinned = {normal(pin) for pin in pins(environment)}
        for top in imported(COMMANDS[command_of(rule)].removeprefix("roadmask.")):
            makers = {normal(maker) for maker in holders[top]}
            assert makers & pinned, f"{top} is not in envs/{environment}.yaml"


def test_of_the_looks_only_learning_starts_tensorflow() -> None:
    assert "tensorflow" in imported("looks.learning")
    assert not {"tensorflow", "keras"} & imported("looks.seeing")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_leaf_is_named_by_a_rule_or_chooses_files() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FILES.values())
    named = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)*)"', text))
    named |= {key for keys in LABEL_KEYS.values() for key in keys} | {"labels.method", "classes"}
    elsewhere = {"dataset", "results", "imagery.paths", "prediction.paths", "labels.raster.path"}
    elsewhere |= {"prediction.tone", "prediction.bands"}
    for key in set(leaves(Settings())) - elsewhere:
        sections = [key.rsplit(".", count)[0] for count in range(key.count(".") + 1)]
        assert named & set(sections), key


def test_no_registry_address_in_any_file() -> None:
    for path in (REPOSITORY / "requirements.lock", *ENVIRONMENTS.glob("*.yaml")):
        assert "://" not in path.read_text(encoding="utf-8"), path


def test_the_profile_is_found_and_nothing_is_written_by_a_dry_run(folder: Folder) -> None:
    done = folder.snakemake("--dry-run")
    assert f"{folder.snakefile.parent}/profiles/default" in done.stdout
    assert [path.name for path in folder.path.iterdir()] in ([], [".snakemake"])


def test_targets_by_stage(folder: Folder) -> None:
    last_rules = {
        "demo": {"build_demo"},
        "scenes": {"build_demo", "convert_scene"},
        "tiles": {"build_demo", "convert_scene", "cut_scene"},
    }
    for stage, expected in last_rules.items():
        assert set(folder.jobs(stage)) - {stage} == expected


def test_a_wrong_config_is_one_message_without_traceback(folder: Folder) -> None:
    folder.write_config({"tiles": {"siz": 3}, "lines": {"halo": 60}})
    done = folder.snakemake("--dry-run")
    assert done.returncode != 0
    assert "tiles.siz: there is no such key. Did you mean tiles.size?" in done.stdout
    assert "lines.halo: 60 has no unit" in done.stdout
    for of_code in ("Traceback", 'File "', "Snakefile", "PlanningError"):
        assert of_code not in done.stdout


def test_a_failed_job_is_one_message_and_its_log_has_the_traceback(own_folder: Folder) -> None:
    done = own_folder.snakemake("--cores", "1", "results/scenes/a.tif")
    assert done.returncode != 0
    [message] = re.findall(r"^    message: (.*)$", done.stdout, re.MULTILINE)
    assert message.startswith("error: imagery/a.jp2: the file is empty")
    for of_code in ("Traceback", 'File "', "unset PROJ_DATA"):
        assert of_code not in done.stdout
    log = own_folder.path / "results" / "logs" / "scenes" / "a.log"
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_a_missing_source_is_one_message(own_folder: Folder) -> None:
    for path in (own_folder.path / "imagery").iterdir():
        path.unlink()
    done = own_folder.snakemake("--dry-run")
    assert done.returncode != 0
    assert "imagery.paths: nothing matches 'imagery/*.jp2'" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_looks_are_learned_from_the_same_sheets_by_both_networks(own_folder: Folder) -> None:
    done = own_folder.snakemake("-n", "-p", "selection")
    scenes, masks = (
        " ".join(f"results/{kind}/{name}.tif" for name in "abc") for kind in ("scenes", "masks")
    )
    networks = [f"results/selection/looks/{half}.onnx" for half in ("even", "odd")]
    for half, network in zip(("even", "odd"), networks, strict=True):
        assert (
            f"roadmask learn-looks {scenes} --masks {masks} --half {half} --imagery.bands=1,2,3"
            f"  --output {network} --log "
        ) in done.stdout
    looks = "results/selection/looks/a.tif"
    assert f"--networks {' '.join(networks)} --imagery.bands=1,2,3  --output {looks}" in done.stdout
    assert f"--looks {looks} " in done.stdout


def test_nested_values_on_the_command_line(folder: Folder) -> None:
    done = folder.snakemake("-n", "-p", "tiles", "--config", "tiles={size: 128, overlap: 8}")
    assert "--tiles.size=128 --tiles.overlap=8" in done.stdout


def test_bands_of_a_ready_model_are_counted_before_anything_runs(own_folder: Folder) -> None:
    assert own_folder.config is not None
    for bands, message in (
        ((1, 2, 3), "prediction.bands: has 2 bands, and the network sees 3. Name for each of"),
        (None, "prediction.model: ready.keras: it can't be read as a .keras file"),
    ):
        model = own_folder.path / "ready.keras"
        if bands is None:
            model.write_text("no network", encoding="utf-8")
        else:
            write_card(model, bands)
        prediction = {"model": "ready.keras", "paths": ["imagery/a.jp2"], "bands": [4, 3]}
        own_folder.write_config({"dataset": "own", "prediction": prediction})
        done = own_folder.snakemake("--dry-run")
        assert done.returncode == 1
        assert message in done.stdout
        assert "Traceback" not in done.stdout


def test_a_ready_model_touches_no_label_and_no_training(own_folder: Folder) -> None:
    model = own_folder.path / "ready.keras"
    model.touch()
    assert own_folder.config is not None
    own_folder.config.write_text(
        yaml.safe_dump(
            {
                "dataset": "own",
                "prediction": {"model": "ready.keras", "paths": ["imagery/[ab].jp2"]},
            }
        ),
        encoding="utf-8",
    )
    jobs = own_folder.jobs()
    assert jobs == {
        "all": 1,
        "convert_scene": 2,
        "measure_tone": 2,
        "join_flight": 1,
        "find_neighbours_predicted": 1,
        "predict_batch_0001": 1,
        "classify_batch_0001": 1,
        "mosaic_predictions": 1,
        "draw_vectors": 1,
        "mosaic_probability": 1,
        "mosaic_scenes": 1,
        "write_project": 1,
        "write_report": 1,
    }


def test_half_a_map_beside_a_ready_model_is_told_of(own_folder: Folder) -> None:
    (own_folder.path / "ready.keras").touch()
    prediction = {"model": "ready.keras", "paths": ["imagery/a.jp2"]}
    words = (
        "street_lines.path: is not set, and labels.method: regions needs it; "
        "without it there is no map, so changes are left out"
    )
    for drawn, is_told in ((["centerlines"], True), (["centerlines", "street_lines"], False)):
        layers = {name: {"path": f"{name}.geojson"} for name in drawn}
        for name in drawn:
            path = own_folder.path / f"{name}.geojson"
            write_layer(path, LineString([(0, 0), (1000, 0)]))
        own_folder.write_config({"dataset": "own", "prediction": prediction} | layers)
        done = own_folder.snakemake("--dry-run")
        assert done.returncode == 0, done.stdout
        assert (words in done.stdout) == is_told
        assert ("find_changes" in done.stdout) != is_told


def test_in_pixel_mode_there_are_no_mosaics(folder: Folder) -> None:
    config = pictures(folder.path)
    config["imagery"]["georeference"] = "pixel"
    folder.write_config(config)
    jobs = folder.jobs()
    assert not [name for name in jobs if name.startswith("mosaic")]
    assert not {"write_project", "draw_lines"} & set(jobs)
    assert jobs["label_scene"] == 3


def test_jobs_claim_memory_and_the_machine_sets_the_limit(folder: Folder) -> None:
    done = folder.snakemake("--cores", "8", "--touch", "--no-hooks", "demo")
    limit = re.search(r"Provided resources: .*mem_mb\D+(\d+)", done.stdout)
    assert limit is not None, done.stdout
    assert int(limit[1]) >= 1000
    mine = folder.snakemake(
        "--cores", "8", "--touch", "--no-hooks", "demo", "--resources", "mem_mb=900"
    )
    assert re.search(r"Provided resources: .*900", mine.stdout)


def test_the_summary_of_a_finished_run(tmp_path: Path) -> None:
    (tmp_path / "selection").mkdir()
    table: dict[str, Any] = {
        "tiles": 10,
        "scenes": {"a": {}, "b": {}},
        "verdicts": {"keep": 7, "drop": 3},
        "reasons": {"drop": {"no road": 3}},
    }
    (tmp_path / "selection" / "summary.json").write_text(json.dumps(table), encoding="utf-8")
    (tmp_path / "masks.vrt").touch()
    assert summary(tmp_path) == [
        "      10 tiles in 2 scenes",
        "       7 keep",
        "       3 drop",
        "       3   no road",
        f"masks: {tmp_path}/masks.vrt",
    ]
