"""ROCKET as a part: built, and fitted in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecgedge import EcgEdgeError, Fitted, Model, Option, TrainingContext, TrainingSet

if TYPE_CHECKING:
    from ecgedge_rocket.network import RocketNetwork

FEATURES = 512
BALANCE = {"accuracy": 0.0, "balanced": 0.5}  # of classes, where no option says it
# torch, and what imports it, is imported where it is needed: a part must be cheap to make


class Rocket(Model):
    """Random convolutions, ramps and means, pruned to a few hundred, and a linear head: all in closed form."""

    name = "rocket"
    needs = ("torch", "safetensors")
    libraries = ("torch",)
    leads = None
    heeds = ("objective",)
    min_length = 9
    options = (
        Option("features", int, FEATURES, "That are kept: convolutions of the network.", least=1, most=20_000),
        Option("kernels", str, "mini", "Those of MiniROCKET, or random ones as in ROCKET.", choices=("mini", "random")),
        Option("candidates", int, 2100, "Kernels that these are chosen from.", least=1, most=20_000),
        Option("views", int, 3, "Of each beat for the head: itself and changed copies.", least=1, most=100),
        Option("penalty", float, 0.4, "On the squares of the weights, for each feature.", least=1e-6),
        Option("balance", float, None, "Classes count by N^(1 - this). Left out: by --objective.", least=0, most=1),
    )  # fmt: skip

    def build(self, classes: int, length: int, features: int = FEATURES, leads: int = 1, **_: Any) -> Any:
        from ecgedge_rocket.network import RocketNetwork

        if length < self.min_length:
            raise EcgEdgeError(
                f"{self.name} needs beats of at least {self.min_length} samples, these have {length}",
                "choose another model, or longer beats",
            )
        return RocketNetwork(classes, length, features, leads)

    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        from ecgedge_rocket.fitting import draw

        options = {"balance": BALANCE[context.recipe.objective]} | dict(context.options)
        [weights] = draw(data, options, context.recipe.seed).prune([options["features"]]).values()
        built = {"features": len(weights.biases)} | self.for_leads(data.leads)
        network: RocketNetwork = self.build(data.classes, data.length, **built)
        weights.put_into(network)
        return Fitted(network, built)
