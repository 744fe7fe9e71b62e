"""With CMSIS-NN's convolutions a model answers as with its own. The sources are those in the wheel of ``bakenn``."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from ecgedge_c import cmsis_nn, folder, tflite
from ecgedge_c.__main__ import main
from ecgedge_c.cmsis_nn import CmsisNn
from ecgedge_c.compiler import Library, compiler
from ecgedge_c.contracts import exported, specimen
from ecgedge_c.emulator import Emulator
from ecgedge_c.targets import targets
from test_c import branched, reference

from ecgedge import Artifact, Classification, EcgEdgeError
from ecgedge.testing import draw

ARM = [target for target in targets() if target.is_arm]


def place() -> Path | None:
    """Where the sources are; None: ``bakenn`` is not installed. It is not imported."""
    found = find_spec("bakenn")
    return Path(found.origin).parent / "backend" / "cmsis_nn" / "vendor" if found and found.origin else None


@pytest.fixture(scope="module")
def kernels() -> CmsisNn:
    if (folder := place()) is None:
        pytest.skip("CMSIS-NN is not here: pip install --no-deps bakenn==1.0.0")
    return cmsis_nn.find(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported("full-int8", tmp_path_factory.mktemp("model"), cmsis_nn=True)


def test_it_answers_bit_for_bit_on_the_host(model: Artifact, kernels: CmsisNn) -> None:
    stored, expected = reference(specimen("full-int8"), draw(50))
    np.testing.assert_array_equal(expected, Library(model.path, kernels).answer(stored))


@pytest.mark.parametrize("target", ARM, ids=lambda target: target.name)
def test_so_it_does_on_each_core_with_fewer_instructions(model: Artifact, kernels: CmsisNn, target) -> None:
    if reason := target.missing():
        pytest.skip(reason)
    stored, expected = reference(specimen("full-int8"), draw(3))
    counted = []
    for theirs in (kernels, None):
        core = Emulator(model.path, target, theirs)
        np.testing.assert_array_equal(expected, core.answer(stored))
        counted.append(core.cost().instructions)
        core.close()
    assert counted[0] < counted[1] * (0.3 if target.name == "cortex-m55" else 0.8)


def test_branches_are_written_where_they_are_joined(kernels: CmsisNn, tmp_path: Path) -> None:
    file = tmp_path / "branched.tflite"
    file.write_bytes(branched("pooled"))
    net = tflite.read(file)
    specs = [tflite.spec_of(net.tensors[index], "?") for index in (net.input, net.output)]
    artifact = Artifact(file, "tflite", "full-int8", Classification(("a",)), *specs, "b")
    folder.write_sources(artifact, tmp_path / "out", cmsis_nn=True)
    values = np.random.default_rng(1).integers(-128, 128, (20, 640)).astype(np.int8)
    expected = tflite.answer(tflite.reference(file.read_bytes()), values)
    np.testing.assert_array_equal(expected, Library(tmp_path / "out", kernels).answer(values))


def test_the_command_takes_the_folder(model: Artifact, kernels: CmsisNn) -> None:
    line = [str(model.path), "--target", "cortex-m55", "--target", "rv32imc", "--cmsis-nn", str(place())]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 0, done.output
    assert "not run: CMSIS-NN is for Arm's cores" in done.output or "riscv64" in done.output
    assert "5 of 5 beats as here" in done.output or "not installed" in done.output


def test_without_the_option_weights_are_there_once_and_no_wrong_answers_are_compiled(
    model: Artifact, tmp_path: Path
) -> None:
    """CMSIS-NN reads another order: a folder that has it not must not be compiled with it."""
    plain = exported("full-int8", tmp_path)
    sizes = [len((one.path / "model.c").read_bytes()) for one in (plain, model)]
    assert sizes[0] < 0.75 * sizes[1]
    command = [*compiler(), "-std=c99", "-fsyntax-only", "-DECGEDGE_CMSIS_NN", str(plain.path / "model.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "the option cmsis_nn=true" in done.stderr
    for name in (*cmsis_nn.HEADERS, f"{cmsis_nn.CALLED}.c"):
        (tmp_path / name).touch()
    told = CliRunner().invoke(main, [str(plain.path), "--cmsis-nn", str(tmp_path)])
    assert told.exit_code == 2 and "has no convolutions for CMSIS-NN" in told.output


def test_a_folder_without_it_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(EcgEdgeError, match=r"has no arm_nnfunctions\.h"):
        cmsis_nn.find(tmp_path)
    for name in cmsis_nn.HEADERS:
        (tmp_path / name).touch()
    with pytest.raises(EcgEdgeError, match=r"has no arm_convolve_1x1_s8_fast\.c"):
        cmsis_nn.find(tmp_path)


def test_the_functions_that_are_called_are_found_with_those_that_they_call(tmp_path: Path) -> None:
    texts = dict.fromkeys((*cmsis_nn.HEADERS, "arm_unused.c"), "")
    texts |= {"arm_convolve_1x1_s8_fast.c": "arm_product(x); arm_inline(x);", "arm_product.c": "arm_step(x);"}
    for name, text in (texts | {"arm_step.c": "arm_product(x);"}).items():
        (tmp_path / name).write_text(text)
    found = cmsis_nn.find(tmp_path)
    assert {file.name for file in found.sources} == {"arm_convolve_1x1_s8_fast.c", "arm_product.c", "arm_step.c"}
    assert found.includes == (tmp_path,)
