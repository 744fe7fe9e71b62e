"""The Dockerfile without Docker: its steps in a clean venv, in a folder that holds what it copies and nothing else.

compose.yaml is read as YAML: there is no engine here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, read

yaml = pytest.importorskip("yaml")
DOCKERFILE = ROOT / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """(``"RUN"``, its text) and so on, with lines joined that go on."""
    text = re.sub(r"^#.*\n", "", read(DOCKERFILE), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def arguments() -> dict[str, str]:
    return {name: value.strip('"') for name, _, value in (rest.partition("=") for rest in of("ARG"))}


def test_it_installs_what_the_readme_does() -> None:
    [extras] = re.findall(r"-c constraints\.txt -e '\.\[(.*?)\]'", read(ROOT / "README.md"))
    assert arguments()["EXTRAS"] == extras
    assert arguments()["TORCH"].split()[0] in read(ROOT / "constraints.txt").splitlines()
    installs = [step for rest in of("RUN") for step in re.split("&&|;", rest) if "pip install" in step]
    assert installs and all("-c constraints.txt" in step for step in installs)


def test_the_base_is_pinned_and_the_user_is_not_root() -> None:
    [base] = of("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base)
    assert of("USER")[-1].split(":")[0] not in ("0", "root")


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    copied = {name for rest in of("COPY") for name in rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    ignore = read(DOCKERFILE.with_name("Dockerfile.dockerignore")).splitlines()
    assert ignore[1] == "*" and {line[1:] for line in ignore if line.startswith("!")} == copied


@pytest.fixture(scope="module")
def image() -> Iterator[dict[str, str]]:
    """The environment after all steps of the Dockerfile that install. TORCH is empty, as in the service ``gpu``: the
    index of the CPU builds is another host."""
    if os.environ.get("TOX_ENV_NAME") != "docker":
        pytest.skip("installs 4 GB: tox run -e docker")
    with tempfile.TemporaryDirectory() as place:  # gigabytes; pytest would keep them
        context, home = Path(place, "context"), Path(place, "venv")
        context.mkdir()
        for rest in of("COPY"):
            *names, target = rest.split()
            for name in names:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, context / target if (ROOT / name).is_dir() else context)
        venv.create(home, with_pip=True)
        kept = {key: value for key, value in os.environ.items() if key not in ("PIP_CONSTRAINT", "PYTHONPATH")}
        environment = kept | arguments() | {"TORCH": "", "ECGEDGE_CACHE": str(Path(place, "cache"))}
        environment["PIP_COMPILE"] = "0"  # the most of it is never imported here
        environment["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        for step in of("RUN"):
            if "pip install" in step:
                subprocess.run(["sh", "-ec", step], cwd=context, env=environment, check=True, timeout=900)
        shutil.rmtree(context)  # the package was installed, not linked
        yield environment


def ecgedge(image: dict[str, str], folder: Path, *words: str) -> str:
    done = subprocess.run(["ecgedge", *words], cwd=folder, env=image, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_steps_give_an_ecgedge_that_works(image: dict[str, str], tmp_path: Path) -> None:
    program = shutil.which("ecgedge", path=image["PATH"])
    assert program and Path(program).parent != Path(sys.executable).parent
    told = ecgedge(image, tmp_path, "--version")
    for pin in ("torch", "onnx", "tensorflow", "ai-edge-litert", "numpy"):
        [version] = re.findall(rf"^{pin}==(.*)$", read(ROOT / "constraints.txt"), re.MULTILINE)
        assert re.search(rf"^{pin} {re.escape(version)}", told, re.MULTILINE), told
    assert not re.search(r"needs|missing", ecgedge(image, tmp_path, "plugins"))
    assert "AUROC" in ecgedge(image, tmp_path, "evaluate", "cnn-ae", "--dataset", "synthetic")


COMPOSE = yaml.safe_load(read(ROOT / "compose.yaml"))


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_service_mounts_data_and_runs(name: str) -> None:
    service = COMPOSE["services"][name]
    assert set(service) <= {"image", "build", "user", "volumes", "deploy"}
    [folder] = of("WORKDIR")[-1:]
    assert service["volumes"] == [f"./data:{folder}/data:ro", f"./runs:{folder}/runs", "cache:/cache"]
    assert "cache" in COMPOSE["volumes"]
    build = service["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).samefile(DOCKERFILE)
    assert set(build.get("args", {})) <= set(arguments())


def test_the_gpu_is_asked_for_by_its_service_alone() -> None:
    [device] = COMPOSE["services"]["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert COMPOSE["services"]["gpu"]["build"]["args"] == {"TORCH": ""}  # the CUDA build
    assert "deploy" not in COMPOSE["services"]["cpu"] and "args" not in COMPOSE["services"]["cpu"]["build"]
    assert COMPOSE["services"]["gpu"]["image"] != COMPOSE["services"]["cpu"]["image"]
