"""Opens a project in the real QGIS and tells what it sees; run by QGIS's own Python, as a script.

It prints one JSON object. It knows nothing of roadmask, whose packages that Python lacks.
"""

import argparse
import json
import os
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def corners(box):
    return [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]


def draw(project, layers, box, size, path):
    """Render layers, the uppermost first, to a PNG; return what went wrong."""
    settings = QgsMapSettings()
    settings.setLabelingEngineSettings(project.labelingEngineSettings())
    settings.setDestinationCrs(project.crs())
    settings.setTransformContext(project.transformContext())
    settings.setLayers(layers)
    settings.setExtent(box)
    settings.setOutputSize(QSize(*size))
    settings.setBackgroundColor(QColor("white"))
    settings.setFlag(QgsMapSettings.Antialiasing)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert job.renderedImage().save(str(path))
    return [error.message for error in job.errors()]


def labels(layer):
    """Return what is written beside the features of a layer."""
    expression = QgsExpression(layer.labeling().settings().fieldName)
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    written = []
    for feature in layer.getFeatures():
        context.setFeature(feature)
        written.append(expression.evaluate(context))
    return written


def tell(layer):
    """Return what QGIS made of a layer."""
    told = {
        "name": layer.name(),
        "valid": layer.isValid(),
        "source": layer.source(),
        "crs": layer.crs().authid(),
        "extent": corners(layer.extent()),
        "renderer": layer.renderer().type(),
    }
    if hasattr(layer, "featureCount"):
        told["features"] = layer.featureCount()
        told["labels"] = labels(layer) if layer.labelsEnabled() else []
        told["sorted"] = layer.attributeTableConfig().sortExpression()
        if told["renderer"] == "categorizedSymbol":
            told["categories"] = [category.value() for category in layer.renderer().categories()]
    return told


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("project")
    parser.add_argument("output", help="folder of the PNGs")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 600))
    parser.add_argument("--extent", type=float, nargs=4)
    parser.add_argument("--theme", action="append", default=[], help="to draw besides the opening")
    arguments = parser.parse_args()
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], True)
    application.initQgis()
    project = QgsProject.instance()
    canvas = QgsMapCanvas()
    canvas.setObjectName("theMapCanvas")  # as the main window's
    project.readProject.connect(canvas.readProject)
    is_read = project.read(arguments.project)
    root = project.layerTreeRoot()
    view = project.viewSettings().defaultViewExtent()
    box = QgsRectangle(*arguments.extent) if arguments.extent else canvas.extent()
    shown = [layer for layer in root.layerOrder() if root.findLayer(layer.id()).isVisible()]
    themes = project.mapThemeCollection()
    pictures = {"": shown} | {name: themes.mapThemeVisibleLayers(name) for name in arguments.theme}
    errors = []
    for name, layers in pictures.items():
        path = Path(arguments.output, f"{name or 'opening'}.png")
        errors += draw(project, layers, box, arguments.size, path)
    told = {
        "version": Qgis.QGIS_VERSION,
        "read": is_read,
        "error": project.error(),
        "crs": project.crs().authid(),
        "extent": corners(view),
        "opens_at": corners(canvas.extent()),
        "groups": {
            group.name(): [tell(node.layer()) for node in group.findLayers()]
            for group in root.findGroups()
        },
        "order": [layer.name() for layer in root.layerOrder()],
        "shown": [layer.name() for layer in shown],
        "themes": themes.mapThemes(),
        "errors": errors,
    }
    print(json.dumps(told))
    project.clear()
    del canvas
    application.exitQgis()


main()
