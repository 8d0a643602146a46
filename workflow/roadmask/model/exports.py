"""A trained network in other formats, each compared with Keras on real tiles.

All take a batch of pictures as bytes and give probabilities, so that whoever applies them
needs neither Keras nor this package. What the network is not told by its format (bands,
classes, threshold) stands in ``model.json`` beside it, and in the ONNX file's metadata.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from roadmask.errors import InputError, SettingError
from roadmask.files import replacing, replacing_folder, sha256, write_json
from roadmask.model.card import Card, read_card

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

Array = NDArray[np.uint8]
Answer = Callable[[Array], NDArray[np.float32]]

NAMES = {"savedmodel": "saved_model", "onnx": "model.onnx", "tflite": "model.tflite"}
ACTIVATIONS = "activations"
# Of what a format takes and gives.
INPUT, OUTPUT = "image", "probability"
# ONNX's version whose operations every runtime of the last years knows.
OPSET = 18
# Of the tiles that formats are compared on.
TILES = 4
# Of a probability: 1/254 is the smallest step that predictions are stored in.
LARGEST_DIFFERENCE = 1e-3
# Characters of a converter's message that are shown.
MOST_SAID = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``exports``."""
    parser.add_argument("model", type=Path, help="model.keras")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="exports.json")
    parser.add_argument("--model.export", dest="formats", type=_names, default=())
    parser.add_argument("--model.activations", dest="layers", type=_names, default=())
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def run(arguments: argparse.Namespace) -> None:
    """Write a network in other formats, and pictures of what its layers see."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # An export is compared on the processor: a GPU rounds otherwise.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras  # noqa: PLC0415

    from roadmask.model.activations import write_activations  # noqa: PLC0415
    from roadmask.model.making import Dataset, start_tensorflow  # noqa: PLC0415

    start_tensorflow(arguments.threads, seed=0)
    card = read_card(arguments.model)
    dataset = Dataset.read(arguments.dataset)
    if dataset.bands != card.bands:
        raise InputError(
            arguments.dataset,
            f"its bands {dataset.bands} are not those of {arguments.model}, {card.bands}",
            "Name the data set that the model was trained on",
        )
    model = keras.models.load_model(arguments.model, compile=False)
    tiles = dataset.splits["val"].most_varied(TILES)
    folder = arguments.output.parent
    exported = write_formats(model, card, arguments.formats, tiles, folder)
    shutil.rmtree(folder / ACTIVATIONS, ignore_errors=True)
    if arguments.layers:
        picture = fitting(tiles[0][0], card.input_stride)
        write_activations(model, arguments.layers, picture, folder / ACTIVATIONS)
    write_json(
        arguments.output,
        {
            "model": arguments.model.name,
            "model_sha256": sha256(arguments.model),
            "formats": exported,
            "activations": list(arguments.layers),
        },
    )


def write_formats(
    model: keras.Model,
    card: Card,
    formats: Sequence[str],
    tiles: Sequence[tuple[Array, Array]],
    folder: Path,
) -> dict[str, Any]:
    """Write a network in some formats, and remove what an earlier run left in others.

    Parameters
    ----------
    model, card
        The network.
    formats
        Keys of `NAMES`.
    tiles
        Pictures, uint8 ``(rows, columns, bands)``, and labels to compare on.
    folder
        Where they go.

    Returns
    -------
    dict
        By format, its file and the largest difference to Keras.

    Raises
    ------
    SettingError
        If a format is unknown or its library is missing.
    RuntimeError
        If one gives other answers.
    """
    from roadmask.model.networks.layers import with_open_sides  # noqa: PLC0415

    for name in formats:
        if name not in NAMES:
            raise SettingError(
                "model.export", f"{name!r} is no format", f"Write some of {', '.join(NAMES)}"
            )
    for name, file in NAMES.items():
        if name not in formats:
            _remove(folder / file)
    pictures = np.stack([fitting(picture, card.input_stride) for picture, _ in tiles])
    expected = model(pictures, training=False).numpy()
    served = with_open_sides(model)
    done: dict[str, Any] = {}
    for name in formats:
        path = folder / NAMES[name]
        _remove(path)
        answer = WRITERS[name](served, card, path)
        difference = float(np.abs(answer(pictures) - expected).max())
        if not difference <= LARGEST_DIFFERENCE:
            _remove(path)
            raise RuntimeError(f"{path} gives answers that differ by {difference:.2g} from Keras'")
        done[name] = {
            "path": path.name,
            "tiles": len(tiles),
            "largest_difference": difference,
        }
        log.info(
            "%s: differs from Keras by %.1e at most, on %d tiles", path, difference, len(tiles)
        )
    return done


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def fitting(picture: Array, stride: int) -> Array:
    """Cut what the network takes out of a tile; widen a tile smaller than that."""
    side = max(stride, picture.shape[0] // stride * stride)
    fitting = np.zeros((side, side, picture.shape[2]), np.uint8)
    part = picture[:side, :side]
    fitting[: part.shape[0], : part.shape[1]] = part
    return fitting


def write_savedmodel(model: keras.Model, card: Card, path: Path) -> Answer:
    """Write TensorFlow's SavedModel, whose signature TensorFlow Serving finds by itself."""
    import tensorflow as tf  # noqa: PLC0415

    with replacing_folder(path) as temporary:
        _save_serving(model, card, temporary)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]

    def answer(pictures: Array) -> NDArray[np.float32]:
        result: NDArray[np.float32] = serve(**{INPUT: tf.constant(pictures)})[OUTPUT].numpy()
        return result

    return answer


def write_onnx(model: keras.Model, card: Card, path: Path) -> Answer:
    """Write ONNX, its card as metadata."""
    try:
        import onnx  # noqa: PLC0415
        import onnxruntime  # noqa: PLC0415
        import tf2onnx  # noqa: PLC0415
    except ImportError as error:
        raise SettingError(
            "model.export",
            f"onnx needs {error.name}, which is not installed",
            "Run make env again, or leave onnx out",
        ) from error
    import tensorflow as tf  # noqa: PLC0415

    specification = [_specification(card)]
    converted, _ = tf2onnx.convert.from_function(
        tf.function(_serving(model)), input_signature=specification, opset=OPSET
    )
    properties = {"roadmask": json.dumps(card.as_json(), ensure_ascii=False)}
    onnx.helper.set_model_props(converted, properties)
    with replacing(path) as temporary:
        onnx.save(converted, temporary)
    quiet = onnxruntime.SessionOptions()
    # Errors alone: it warns, in colour, of attributes that tf2onnx still writes.
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), quiet, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def answer(pictures: Array) -> NDArray[np.float32]:
        result: NDArray[np.float32] = session.run(None, {given.name: pictures})[0]
        return result

    return answer


def write_tflite(model: keras.Model, card: Card, path: Path) -> Answer:
    """Write TensorFlow Lite, for telephones and drones.

    Raises
    ------
    SettingError
        If it has no operation for a part of the network.
    """
    import tensorflow as tf  # noqa: PLC0415
    from tensorflow.lite.python.convert import ConverterError  # noqa: PLC0415

    # Not straight from the function: such a file answers with NaN (TensorFlow 2.21, Keras 3.15).
    with tempfile.TemporaryDirectory() as folder:
        _save_serving(model, card, Path(folder))
        try:
            content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
        except ConverterError as error:
            # Its message goes on for pages, the network in the compiler's words among them.
            said = next(filter(None, map(str.strip, str(error).splitlines())), "no reason given")
            raise SettingError(
                "model.export",
                f"tflite can't hold {model.name} ({said[:MOST_SAID]})",
                "Leave tflite out; onnx and savedmodel hold every network",
            ) from None
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    interpreter = tf.lite.Interpreter(str(path))
    given = interpreter.get_input_details()[0]["index"]
    gives = interpreter.get_output_details()[0]["index"]

    def answer(pictures: Array) -> NDArray[np.float32]:
        interpreter.resize_tensor_input(given, pictures.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, pictures)
        interpreter.invoke()
        result: NDArray[np.float32] = interpreter.get_tensor(gives)
        return result

    return answer


WRITERS: dict[str, Callable[[Any, Card, Path], Answer]] = {
    "savedmodel": write_savedmodel,
    "onnx": write_onnx,
    "tflite": write_tflite,
}


def _save_serving(model: keras.Model, card: Card, folder: Path) -> None:
    import keras  # noqa: PLC0415

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", _serving(model), input_signature=[_specification(card)])
    archive.write_out(str(folder), verbose=False)


def _serving(model: keras.Model) -> Callable[[Any], dict[str, Any]]:
    import tensorflow as tf  # noqa: PLC0415

    def serve(image: Any) -> dict[str, Any]:  # noqa: ANN401 (a tensor)
        return {OUTPUT: model(tf.cast(image, tf.float32), training=False)}

    return serve


def _specification(card: Card) -> Any:  # noqa: ANN401 (TensorFlow's)
    import tensorflow as tf  # noqa: PLC0415

    return tf.TensorSpec([None, None, None, len(card.bands)], tf.uint8, name=INPUT)
