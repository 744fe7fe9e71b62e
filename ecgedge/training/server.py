"""The worker of a sweep: one that trains, beside all that any worker does."""

from __future__ import annotations

from collections.abc import Mapping

from ecgedge.data import kept
from ecgedge.measure.machine import versions
from ecgedge.plan.options import options_of
from ecgedge.training.recipe import recipe_for
from ecgedge.training.train import train
from ecgedge.workers import protocol, server
from ecgedge.workers.server import Worker


@server.answers(protocol.Train)
def answer(worker: Worker, asked: protocol.Train) -> Mapping[str, float | None]:
    """Train as ``ecgedge train`` does, but for its pictures."""
    part = worker.find("model", asked.model)
    asked.out.mkdir()
    options = options_of(part, asked.options)
    data = kept.read(asked.data)
    trained = train(part, data, recipe_for(part, asked.recipe, len(data.train)), asked.out, versions(),
                    options=options, pictures=False)  # fmt: skip
    test: Mapping[str, float | None] = trained.metrics["test"]
    return {name: value for name, value in test.items() if value is None or isinstance(value, float)}


if __name__ == "__main__":
    server.main()
