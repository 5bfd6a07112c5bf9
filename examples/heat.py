"""Draws the temperature in a checkpoint of examples/longer/heat.rs. Needs only numpy and matplotlib.

    python3 examples/heat.py heat.ckpt heat.png

The first argument is a checkpoint, or a directory with checkpoints: then the newest is drawn.
"""

import json
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np


def newest(path):
    """The checkpoint with the highest number, which has 20 digits."""
    if not path.is_dir():
        return path
    checkpoints = [file for file in path.iterdir() if re.fullmatch(r"[0-9]{20}\.ckpt", file.name)]
    if not checkpoints:
        sys.exit(f"heat.py: there is no checkpoint in {path}")
    return max(checkpoints, key=lambda file: int(file.stem))


def draw(checkpoint, picture):
    with np.load(checkpoint) as entries:
        temperature = entries["temperature"]
        manifest = json.loads(entries["checkpoint.json"])

    figure, axes = plt.subplots(figsize=(5.4, 4.5), layout="constrained")
    # One colour for every 5 °C shows the isotherms.
    colours = plt.get_cmap("inferno", 28)
    image = axes.imshow(
        temperature,
        cmap=colours,
        vmin=-40,
        vmax=100,
        extent=(0, 1, 1, 0),
        # Between the points of the grid it interpolates the temperature, not the colour.
        interpolation="bilinear",
        interpolation_stage="data",
    )
    axes.set_title(f"Temperature of the plate after {manifest['metadata']['step']} steps", fontsize=11)
    axes.set(xlabel="x in m", ylabel="y in m")
    figure.colorbar(image, label="°C", ticks=range(-40, 101, 20))
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(newest(Path(sys.argv[1])), sys.argv[2])
