"""Draw ``docs/qgis.jpg``: two themes of the demo city's QGIS project over one place.

Usage, after ``make run``: ``PYTHONPATH=tests .venv/bin/python docs/draw_qgis.py [RESULTS]``. QGIS
itself draws, so it has to be installed (``apt-get install qgis python3-qgis``).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from qgis_program import look

REPOSITORY = Path(__file__).resolve().parent.parent
THEMES = ("Changes", "Road network")
# West, south, east and north in the city's CRS.
PLACE = (987900, 209089, 988940, 209869)
WIDTH, HEIGHT, GAP = 600, 450, 8


def main() -> None:
    """Write the picture."""
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "results"
    with tempfile.TemporaryDirectory() as folder:
        look(
            results / "roads.qgz",
            Path(folder),
            *(f"--theme={theme}" for theme in THEMES),
            *("--extent", *map(str, PLACE)),
            *("--size", str(WIDTH), str(HEIGHT)),
        )
        page = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT), "white")
        for number, theme in enumerate(THEMES):
            with Image.open(Path(folder, f"{theme}.png")) as panel:
                page.paste(panel.convert("RGB"), (number * (WIDTH + GAP), 0))
    page.save(REPOSITORY / "docs" / "qgis.jpg", quality=78, optimize=True)


if __name__ == "__main__":
    main()
