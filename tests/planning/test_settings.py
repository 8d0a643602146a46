"""Every key has a default and a meaning, and nothing impossible gets past the check."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from snakemake.utils import update_config

from planning import checks, documents
from planning.checks import load
from planning.errors import PlanningError
from planning.settings import Model, Settings, Training, argument, leaves
from roadmask.model.network_settings import (
    ARCHITECTURES,
    BACKBONES,
    OUTPUT_STRIDES,
    NetworkSettings,
)

DEFAULTS: dict[str, Any] = yaml.safe_load(documents.CONFIG.read_text(encoding="utf-8"))
SCHEMA = json.loads(documents.SCHEMA.read_text(encoding="utf-8"))
OWN = """
dataset: own
imagery: {paths: ["*.jp2"]}
street_lines: {path: streets.shp}
centerlines: {path: centers.shp}
"""
ROADBEDS = f"{OWN}\nlabels: {{method: polygons, polygons: {{path: a.shp}}}}"
MASKS = f"{OWN}\nlabels: {{method: raster, raster: 'm/{{scene}}.png'}}"


def problems(text: str) -> list[str]:
    """Return what is said about a config laid over the defaults."""
    with pytest.raises(PlanningError) as caught:
        settings(text)
    return list(caught.value.problems)


def settings(text: str) -> Settings:
    """Return the settings of a config laid over the defaults, as Snakemake does."""
    config = yaml.safe_load(documents.CONFIG.read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load(text))
    return load(config)


def test_config_yaml_and_its_schema_are_those_of_the_models() -> None:
    assert documents.CONFIG.read_text(encoding="utf-8") == documents.config_text()
    assert documents.SCHEMA.read_text(encoding="utf-8") == documents.schema_text()


def test_config_yaml_holds_every_default() -> None:
    assert load(DEFAULTS) == Settings()
    jsonschema.validate(DEFAULTS, SCHEMA)


def test_every_key_is_described() -> None:
    def descriptions(node: dict[str, Any]) -> list[Any]:
        return [part.get("description") for part in node.get("properties", {}).values()]

    nodes = [SCHEMA, *SCHEMA["$defs"].values()]
    assert all(text for node in nodes for text in descriptions(node))
    assert all(node["additionalProperties"] is False for node in nodes)


def test_nothing_in_the_defaults_belongs_to_one_dataset() -> None:
    values = leaves(Settings())
    ends = (".path", ".paths", ".layer", ".where", ".width_field", ".crs")
    assert not any(value for key, value in values.items() if key.endswith(ends))


def test_training_is_as_the_network_has_it() -> None:
    path = documents.REPOSITORY / "workflow" / "roadmask" / "model" / "settings.py"
    spec = importlib.util.spec_from_file_location("model_settings", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Not through the package, which imports TensorFlow.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)

    ours = leaves(Training())
    theirs = module.TrainingSettings().leaves()
    assert ours == theirs
    assert set(SCHEMA["$defs"]["Training"]["properties"]["loss"]["enum"]) == set(module.LOSSES)


def test_networks_are_as_the_package_has_them() -> None:
    network = {each.name: each.default for each in fields(NetworkSettings)}
    assert network.items() <= leaves(Model()).items()
    choices = {
        name: set(checks._choices(field.annotation)) for name, field in Model.model_fields.items()
    }
    assert choices["architecture"] == set(ARCHITECTURES)
    assert choices["backbone"] == {*BACKBONES, "null"}
    assert choices["output_stride"] == {*map(str, OUTPUT_STRIDES), "null"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tiles: {siz: 3}", "tiles.siz: there is no such key. Did you mean tiles.size?"),
        ("tile: 3", "tile: there is no such key. Did you mean tiles?"),
        ("max_road_share: 1", "Did you mean selection.max_road_share?"),
        (
            "training: {augmentation: {flip: 1}}",
            "training.augmentation.flip: there is no such key. "
            "Did you mean training.augmentation.flip_horizontal?",
        ),
        ("training: {rate: 0.1}", "Did you mean training.learning_rate?"),
        ("training: {bach_size: 3}", "Did you mean training.batch_size?"),
        ("tiles.size: 3", "Write it as tiles: {size: …}"),
        ("tiles: {size: 12.5}", "tiles.size: 12.5 stands where a whole number is needed"),
        ("tiles: {size: true}", "tiles.size: true stands where a whole number is needed"),
        ("tiles: {size: much}", 'tiles.size: "much" stands where a whole number is needed'),
        ("tiles: {size: 4}", "tiles.size: must be at least 16, not 4"),
        ("tiles: [1]", "tiles: [1] stands where a mapping of keys to values is needed"),
        ("tiles: {overlap: 256}", "tiles.overlap: 256 is not below tiles.size, 256"),
        ("lines: {halo: 60}", 'lines.halo: 60 has no unit. Write "60 ft"'),
        ("lines: {halo: 60 feet}", "lines.halo: '60 feet' is no distance with a unit"),
        ("lines: {halo: -3 ft}", "lines.halo: '-3 ft' is no distance with a unit"),
        ("split: {block: 0 ft}", "split.block: must be more than 0"),
        ("centerlines: {width_unit: 3 px}", "centerlines.width_unit: 3 px is in pixels"),
        ("split: {train: 0.9}", "split: train, val and test add up to 1.2, not to 1"),
        ("imagery: {bands: [0]}", "imagery.bands: must be at least 1, not 0"),
        ("imagery: {bands: [1, 1]}", "imagery.bands: names a band twice"),
        ("imagery: {bands: []}", "imagery.bands: must not be empty"),
        ("imagery: {scale: [9, 1]}", "imagery.scale: [9.0, 1.0] is no pair [low, high]"),
        ("imagery: {scale: [[0, 1], [0, 2]]}", "imagery.scale: has 2 pairs for 3 bands"),
        ("imagery: {paths: [a.jp2]}", "imagery.paths: is set, but dataset is demo"),
        ("dataset: own", "imagery.paths: is empty, but dataset is 'own'"),
        ("dataset: own", "street_lines.path: is not set, and labels.method: regions needs it"),
        ("labels: {method: regoins}", "Did you mean regions?"),
        ("labels: {method: polygons}", "labels.polygons.path: is not set"),
        ("labels: {method: raster}", "labels.raster.path: is not set"),
        ("labels: {raster: mask.png}", "labels.raster.path: has no {scene} in it"),
        ("labels: {raster: {resample: cubic}}", 'labels.raster.resample: "cubic" is none of'),
        ("labels: {raster: {tolerance: 300}}", "labels.raster.tolerance: must be at most 255"),
        ("labels: {ends: square}", 'labels.ends: "square" is none of flat, round'),
        ("labels: {polygons: {field: KIND}}", "labels.polygons.field: has no effect without"),
        (
            f"{ROADBEDS}\nclasses: {{a: 1, b: 2}}",
            "labels.polygons.field: is not set, so nothing tells which polygon is a and b",
        ),
        (
            f"{ROADBEDS}\nclasses: {{a: '#010203'}}",
            "classes: are colours, but labels.method: polygons needs a field's values",
        ),
        (
            f"{MASKS}\nclasses: {{road: asphalt}}",
            "classes: 'asphalt' is text, but a label raster holds numbers or colours",
        ),
        (
            f"{OWN}\nclasses: {{road: 1, water: 2}}",
            "classes: are road and water, but labels.method: regions makes one class alone",
        ),
        ("labels: {islands: {where: A = 1}}", "labels.islands.where: has no effect without"),
        (f"{OWN}\nlabels: {{method: buffer}}", "centerlines.width_field: is not set, nor is"),
        ("imagery: {georeference: pixel}", "labels.method: regions needs a place"),
        (
            "imagery: {georeference: pixel}\narea: {path: a.shp}",
            "area.path: can't be laid over the pictures",
        ),
        ("classes: {road: yes}", "classes: road: True is neither a number, a text nor a colour"),
        ("classes: {road: [1, [2, 3]]}", "classes: road: [2, 3] is no colour"),
        ("classes: {other: 0, ignore: 9}", "classes: there is no class but other"),
        ("classes: {road: 1, water: [2, 1]}", "classes: the value 1 belongs to road and to water"),
        ("selection: {min_road_share: 1.5}", "selection.min_road_share: must be at most 1"),
        ("selection: {max_road_share: 0.001}", "selection.min_road_share: 0.01 is above"),
        ("prediction: {overlap: 256}", "prediction.overlap: 256 on each side leaves nothing"),
        ("prediction: {bands: [4, 3, 2]}", "prediction.bands: has no effect: imagery that is"),
        (
            "prediction: {bands: [4, 3], paths: [a.jp2]}",
            "prediction.bands: has 2 bands, and the network sees 3. Name for each of them",
        ),
        ("prediction: {model: [a.keras, b.h5]}", "prediction.model: 'b.h5' is no .keras file"),
        ("prediction: {model: weights.h5}", "prediction.model: 'weights.h5' is no .keras file"),
        ("training: {crop: 100}", "training.crop: 100 is no multiple of 16"),
        ("training: {loss: dise}", "Did you mean dice?"),
        ("model: {architecture: deeplab}", "Did you mean deeplabv3plus?"),
        ("model: {backbone: xception}", "model.backbone: 'xception' has no effect: unet"),
        (
            "model: {architecture: deeplabv3plus, backbone: xseption}",
            'model.backbone: "xseption" is none of xception, mobilenetv2, resnet50v2, '
            "efficientnetlite0, null. Did you mean xception?",
        ),
        ("model: {output_stride: 8}", "model.output_stride: 8 has no effect: unet leaves no"),
        (
            "model: {architecture: deeplabv3plus, output_stride: 32}",
            "model.output_stride: 32 is none of 16, 8, null",
        ),
        (
            "model: {architecture: inceptionresnetv2_unet}\ntraining: {crop: 32}",
            "training.crop: 32 pixels are too few for inceptionresnetv2_unet. Write 48 or more",
        ),
        ("model: {weights: imagenet}", "model.weights: there are no ImageNet weights for unet"),
        ("model: {weights: a.pth}", "model.weights: 'a.pth' is no file that unet can start from"),
        ("model: {architecture: lite_unet, weights: imagenets}", "auto, imagenet, null or a file"),
        ("results: ''", "results: must not be empty"),
        ("results: 'a{b}'", "results: has one of {}<>*? in it"),
        ("results: .", "results: . is not for results"),
        ("results: /", "results: / is not for results"),
        ("results: data/demo/here", "results: data/demo/here is not for results"),
        ("results: ~/roads", "results: begins with ~. Write it out"),
        (r'results: "a\tb"', "results: 'a\\tb' is no name of a folder"),
        (f"results: {Path(__file__)}", "test_settings.py is a file"),
        ("dataset: '  '", 'dataset: must not be blank, not "  "'),
        (r'area: {path: a.shp, where: "a\0b"}', "area.where: 'a\\x00b' holds no text"),
        ("labels: {threshold: .inf}", "labels.threshold: Infinity stands where a number is"),
        ("labels: {threshold: .nan}", "labels.threshold: NaN stands where a number is needed"),
        ("imagery: {scale: [0, .inf]}", "imagery.scale: Infinity stands where a number is"),
        ("imagery: {nodata: .inf}", "imagery.nodata: infinity is no value of a pixel"),
        ("imagery: {bands: [70000]}", "imagery.bands: must be at most 65535, not 70000"),
        ("imagery: {crs: 'EPSG:9999999'}", "imagery.crs: EPSG:9999999 is no CRS that PROJ knows"),
        ("imagery: {crs: 5703}", "imagery.crs: EPSG:5703 is a Vertical CRS, in which"),
        ("lines: {halo: 30 mi}", "lines.halo: 30 mi is too long: at most 10 km"),
        ("split: {block: 2000000 px}", "split.block: 2000000 px is too long: at most 1000 km"),
        ("training: {learning_rate: .nan}", "training.learning_rate: NaN stands where"),
        ("training: {epochs: 10000000000}", "training.epochs: must be at most 1000000"),
        ("training: {crop: 16000}", "training.crop: must be at most 8192"),
    ],
)
def test_the_impossible_is_refused_by_its_key(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text)), problems(text)


def test_all_problems_are_named_at_once() -> None:
    found = problems("tiles: {siz: 3, overlap: x}\nsplit: {train: 0.9}\nlabels: {method: x}")
    assert sorted(problem.partition(":")[0] for problem in found) == [
        "labels.method",
        "split",
        "tiles.overlap",
        "tiles.siz",
    ]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        # What `--config 'tiles={size: 300}'` hands over.
        ("tiles: {size: '300'}", "tiles.size", 300),
        ("imagery: {bands: ['4', '1']}", "imagery.bands", [4, 1]),
        ("training: {xla: 'false'}", "training.xla", False),
        ("area: {path: 'null'}", "area.path", None),
        # YAML takes it for text.
        ("training: {learning_rate: 1e-3}", "training.learning_rate", 0.001),
        ("tiles:", "tiles.size", 256),
        ("imagery: {crs: 2263}", "imagery.crs", "EPSG:2263"),
        ("imagery: {crs: ' '}", "imagery.crs", None),
        ("imagery: {scale: [0, 3000]}", "imagery.scale", [[0.0, 3000.0]]),
        ("labels: {raster: 'm/{scene}.png'}", "labels.raster.path", "m/{scene}.png"),
        ("labels: {raster: {path: 'm/{scene}.png'}}", "labels.raster.path", "m/{scene}.png"),
        ("prediction: {paths: a.jp2}", "prediction.paths", ["a.jp2"]),
        ("results: ./a//b/", "results", "a/b"),
        (f"results: {Path.cwd()}/a", "results", "a"),
        ("results: /elsewhere/a/", "results", "/elsewhere/a"),
        ("classes: {water: [[1, 2, 3], [4, 5, 6]]}", "classes", {"water": [[1, 2, 3], [4, 5, 6]]}),
        # As Snakemake hands over what stands after --config: all of it as text.
        ("classes: {water: '350010'}", "classes", {"water": 350010}),
        ("classes: {water: '[1, 2, 3]'}", "classes", {"water": [1, 2, 3]}),
        ("classes: '{water: 2}'", "classes", {"water": 2}),
        # No octal number, no truth, no date, no comment.
        ("classes: {water: '010'}", "classes", {"water": "010"}),
        ("classes: {water: ['yes', 'N']}", "classes", {"water": ["yes", "N"]}),
        ("classes: {water: '#0a0B0c'}", "classes", {"water": "#0a0B0c"}),
        ("classes: {water: '2020-01-01'}", "classes", {"water": "2020-01-01"}),
        ("labels: {raster: {resample: 'null'}}", "labels.raster.resample", None),
    ],
)
def test_what_is_meant_is_understood(text: str, key: str, value: object) -> None:
    assert leaves(settings(text))[key] == value


def test_a_file_is_laid_over_the_defaults_key_by_key() -> None:
    laid = settings("imagery: {bands: [4]}\narea: {path: a.shp}\nclasses: {roof: 3}")
    assert laid.imagery.bands == [4]  # lists are replaced
    assert laid.imagery.georeference == "required"
    assert laid.area.path == "a.shp"
    assert laid.class_values == {"roof": 3}  # without the default's road


def test_a_grey_picture_may_stand_for_all_colours() -> None:
    text = "prediction: {bands: [1, 1, 1], paths: [a.jp2]}"
    assert settings(text).prediction.bands == [1, 1, 1]


def test_a_pixel_may_be_no_number() -> None:
    assert argument("k", settings("imagery: {nodata: .nan}").imagery.nodata) == "--k=nan"


@pytest.mark.parametrize("text", ["60 ft", "60ft", " 60.0 ft ", "60. ft", "060.00  ft"])
def test_a_distance_is_one_however_it_is_spelled(text: str) -> None:
    assert settings(f"lines: {{halo: '{text}'}}").lines.halo == "60 ft"


def test_small_and_signed_distances_keep_all_digits() -> None:
    assert settings("vectors: {tolerance: 0.0000010 m}").vectors.tolerance == "0.000001 m"
    shift = settings("labels: {shift: ['+ 1.50 ft', '-03.250 px']}").labels.shift
    assert shift == ["1.5 ft", "-3.25 px"]


def test_a_ready_model_needs_no_labels() -> None:
    text = "dataset: own\nprediction: {model: m.keras, paths: [a.jp2]}"
    assert settings(text).prediction.model == "m.keras"
    assert problems("dataset: own\nprediction: {model: m.keras}") == [
        "prediction.paths: is empty, and so is imagery.paths"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "--k=1"),
        (1.0, "--k=1"),
        (0.1, "--k=0.1"),
        (False, "--k=false"),
        ([3, 1], "--k=3,1"),
        ([[0.0, 3000.0], [1.5, 2.0]], "--k=0,3000;1.5,2"),
        ({"b": 1, "a": [1, 2, 3]}, '--k={"b": 1, "a": [1, 2, 3]}'),
        ("A = 'x y'", "--k=A = 'x y'"),
    ],
)
def test_leaves_as_arguments(value: object, text: str) -> None:
    assert argument("k", value) == text


def test_the_schema_refuses_what_the_models_refuse(tmp_path: Path) -> None:
    for text in ("tiles: {siz: 3}", "lines: {halo: 60 feet}", "labels: {method: x}"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text), SCHEMA)
