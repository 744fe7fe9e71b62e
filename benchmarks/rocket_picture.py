"""Draw what pruning costs: ``rocket_pruning.json``, what ``rocket_pruning.py`` printed, as the picture of
plugins/ecgedge-rocket. One SVG for light and dark pages.

    python benchmarks/rocket_picture.py plugins/ecgedge-rocket/pruning.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

FIGURES = Path(__file__).with_name("rocket_pruning.json")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 680, 340, 60, 150, 20, 50
LEAST, MOST = 0.92, 0.96  # accuracy
STYLE = """
text { font: 13px sans-serif; fill: #333 } .grid { stroke: #ddd } .line { fill: none; stroke-width: 2 }
.a { stroke: #0b62c4; fill: #0b62c4 } .b { stroke: #c2480c; fill: #c2480c } .line.a, .line.b { fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .grid { stroke: #444 }
  .a { stroke: #6cb0ff; fill: #6cb0ff } .b { stroke: #ff9d5c; fill: #ff9d5c } .line.a, .line.b { fill: none }
}
"""


def main() -> None:
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    Path(sys.argv[1]).write_text("\n".join(picture(figures)) + "\n", encoding="utf-8")


def picture(figures: dict[str, list]) -> Iterator[str]:
    """The lines of the SVG: accuracy over the number of features, a dot a seed and a line through the means."""
    sizes: list[int] = figures["sizes"]
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    yield "<title>Accuracy of rocket by the number of features that are kept</title>"
    yield f"<style>{STYLE}</style>"
    for step in range(9):
        value = LEAST + step * 0.005
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3f}</text>'
    for size in sizes:
        yield f'<text x="{x(size, sizes):.1f}" y="{HEIGHT - 28}" text-anchor="middle">{size}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">features kept (log scale)</text>'
    for colour, name in (("a", "cross-validated"), ("b", "test beats")):
        seeds = figures[name]
        means = [sum(column) / len(column) for column in zip(*seeds, strict=True)]
        points = " ".join(f"{x(size, sizes):.1f},{y(mean):.1f}" for size, mean in zip(sizes, means, strict=True))
        yield f'<polyline class="line {colour}" points="{points}"/>'
        for seed in seeds:
            for size, value in zip(sizes, seed, strict=True):
                yield f'<circle class="{colour}" cx="{x(size, sizes):.1f}" cy="{y(value):.1f}" r="2.5"/>'
        yield f'<text x="{WIDTH - RIGHT + 12}" y="{y(means[-1]) + 4:.1f}">{name}</text>'
    yield "</svg>"


def x(size: int, sizes: list[int]) -> float:
    share = math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])
    return LEFT + 15 + share * (WIDTH - LEFT - RIGHT - 30)


def y(accuracy: float) -> float:
    return HEIGHT - BOTTOM - (accuracy - LEAST) / (MOST - LEAST) * (HEIGHT - TOP - BOTTOM)


if __name__ == "__main__":
    main()
