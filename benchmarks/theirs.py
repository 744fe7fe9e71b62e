"""A network of another framework, exported by another tool: what does ``ecgedge convert`` make of its ONNX file?

    pip install tf2onnx && python benchmarks/theirs.py

A residual network of Keras is trained on the training beats for a minute, exported by tf2onnx, and given
to ``ecgedge convert``, which prints the passes, the gain (both files timed in turns) and how many of
the decisions on the test beats changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf2onnx

from ecgedge.data import finding

EPOCHS = 20


def main() -> None:
    data, _ = finding.load(None)
    network = residual(data.length, len(data.labels))
    network.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(data.train.x.transpose(0, 2, 1), data.train.y, batch_size=32, epochs=EPOCHS, verbose=0)
    with tempfile.TemporaryDirectory() as scratch:
        theirs, faster = Path(scratch) / "theirs.onnx", Path(scratch) / "faster.onnx"
        spec = tf.TensorSpec((None, data.length, 1), tf.float32, name="beat")
        tf2onnx.convert.from_function(tf.function(network), input_signature=[spec], opset=17, output_path=str(theirs))
        command = [sys.executable, "-m", "ecgedge", "convert", str(theirs), "--to", "onnx", "-o", str(faster)]
        sys.exit(subprocess.run(command).returncode)


def residual(length: int, classes: int, width: int = 48) -> tf.keras.Model:
    """Three residual blocks of convolutions of one dimension, channels last as Keras has them."""
    keras = tf.keras
    given = keras.Input((length, 1))
    x = keras.layers.Conv1D(width, 7, padding="same", activation="relu")(given)
    for _ in range(3):
        y = keras.layers.Conv1D(width, 5, padding="same", use_bias=False)(x)
        y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
        y = keras.layers.BatchNormalization()(keras.layers.Conv1D(width, 5, padding="same", use_bias=False)(y))
        x = keras.layers.MaxPool1D(2)(keras.layers.ReLU()(keras.layers.Add()([x, y])))
    return keras.Model(given, keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling1D()(x)))


if __name__ == "__main__":
    np.random.seed(0)
    tf.random.set_seed(0)
    main()
