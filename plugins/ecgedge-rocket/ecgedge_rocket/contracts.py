"""What ecgedge expects of the model, run by pytest and by ``ecgedge plugins check rocket``."""

from __future__ import annotations

from ecgedge.testing import ModelContract
from ecgedge_rocket.model import Rocket


class TestRocket(ModelContract):
    part = Rocket()
