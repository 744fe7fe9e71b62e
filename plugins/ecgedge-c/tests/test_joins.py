"""Concatenations of all sorts answer bit for bit as LiteRT's reference kernels do, wherever their inputs lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ecgedge_c import folder, tflite
from ecgedge_c.builder import build
from ecgedge_c.compiler import Library
from graphs import Graph

from ecgedge import Artifact, Classification

LENGTH, SCALE, ZERO = 20, 0.05, 3


class Net:
    """A graph of tensors that all have one scale; ``x`` goes in: 20 samples of 4 channels."""

    def __init__(self) -> None:
        self.graph = Graph(np.random.default_rng(0), tall=False)
        self.x = self.add((1, 1, LENGTH, 4))

    def add(self, shape: Sequence[int]) -> int:
        return self.graph.add(tuple(shape), SCALE, ZERO)

    def shape(self, index: int) -> list[int]:
        return [*self.graph.tensors[index].shape]

    def conv(self, now: int, channels: int) -> int:
        inputs = self.shape(now)[-1]
        weights = self.graph.rng.integers(-127, 128, (channels, 1, 3, inputs)).astype(np.int8)
        w = self.graph.constant(weights, (0.01,) * channels)
        bias = self.graph.constant(np.zeros(channels, np.int32), (SCALE * 0.01,) * channels)
        out = self.add((*self.shape(now)[:-1], channels))
        options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        self.graph.call("CONV_2D", [now, w, bias], out, 3, padding=0, **options)
        return out

    def join(self, *parts: int, axis: int = 3) -> int:
        shape = self.shape(parts[0])
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        out = self.add(shape)
        self.graph.call("CONCATENATION", [*parts], out, 2, axis=axis)
        return out

    def sum(self, a: int, b: int) -> int:
        out = self.add(self.shape(a))
        self.graph.call("ADD", [a, b], out, 2)
        return out

    def reshape(self, now: int, *shape: int) -> int:
        out = self.add(shape)
        self.graph.call("RESHAPE", [now, self.graph.constant(np.array(shape, np.int32))], out)
        return out


def of_others(net: Net) -> int:
    inner = net.join(net.conv(net.x, 4), net.conv(net.x, 5))
    return net.join(net.join(inner, net.conv(net.x, 3)), net.join(net.conv(net.x, 4), net.conv(net.x, 8)))


def along_samples_of_others(net: Net) -> int:
    halves = [net.join(net.conv(net.x, 4), net.conv(net.x, 4)) for _ in range(2)]
    return net.join(*halves, axis=2)


def of_a_branch_that_is_read_on(net: Net) -> int:
    branch = net.conv(net.x, 4)
    return net.join(net.join(branch, net.conv(net.x, 8)), net.conv(branch, 4))


def of_one_tensor_twice(net: Net) -> int:
    branch = net.conv(net.x, 4)
    return net.join(branch, net.conv(net.x, 5), branch)


def of_one_tensor_under_two_names(net: Net) -> int:
    branch = net.conv(net.x, 4)
    return net.join(branch, net.reshape(net.reshape(branch, 1, 4 * LENGTH), 1, 1, LENGTH, 4))


def of_the_same_branches_in_both_orders(net: Net) -> int:
    a, b = net.conv(net.x, 4), net.conv(net.x, 5)
    return net.sum(net.join(a, b), net.join(b, a))


def of_the_input(net: Net) -> int:
    return net.join(net.x, net.join(net.conv(net.x, 4), net.x), net.x)


def that_is_read_on_and_given_back(net: Net) -> int:
    out = net.join(net.conv(net.x, 4), net.conv(net.x, 4))
    net.conv(out, 3)
    return out


def of_rows_that_are_cut_anew(net: Net) -> int:
    long = net.join(net.conv(net.x, 4), net.conv(net.x, 4), axis=2)
    return net.join(net.reshape(long, 1, 1, LENGTH, 8), net.conv(net.x, 8))


CASES = (of_others, along_samples_of_others, of_a_branch_that_is_read_on, of_one_tensor_twice,
         of_one_tensor_under_two_names, of_the_same_branches_in_both_orders, of_the_input,
         that_is_read_on_and_given_back, of_rows_that_are_cut_anew)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_concatenation(case: Callable[[Net], int], tmp_path: Path) -> None:
    net = Net()
    content = build(net.graph.tensors, net.graph.calls, net.x, case(net))
    file = tmp_path / "model.tflite"
    file.write_bytes(content)
    read = tflite.read(file)
    specs = [tflite.spec_of(read.tensors[index], "?") for index in (read.input, read.output)]
    folder.write_sources(Artifact(file, "tflite", "full-int8", Classification(("a",)), *specs, "m"), tmp_path / "out")
    values = np.random.default_rng(1).integers(-128, 128, (6, 4 * LENGTH)).astype(np.int8)
    expected = tflite.answer(tflite.reference(content), values)
    np.testing.assert_array_equal(expected, Library(tmp_path / "out").answer(values))
