"""What ecgedge expects of the model, run by pytest and by ``ecgedge plugins check``."""

from __future__ import annotations

from ecgedge_acme.part import Acme

from ecgedge.testing import ModelContract


class TestAcme(ModelContract):
    part = Acme()
