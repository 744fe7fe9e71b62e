"""The model, on TensorFlow: what its signature gives for a batch."""

import json
import os
from pathlib import Path

import numpy as np

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # on the CPU, as it was bundled
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

HERE = Path(__file__).resolve().parent
RECORD = json.loads((HERE / "record.json").read_text(encoding="utf-8"))
INPUT, OUTPUT = RECORD["input"]["name"], RECORD["output"]["name"]
MODEL = tf.saved_model.load(str(HERE / RECORD["file"]))  # has the variables: it lives as long as its functions
FUNCTIONS = [MODEL.signatures[name] for name in sorted(MODEL.signatures, key=lambda name: name != "serving_default")]
FUNCTION = next(each for each in FUNCTIONS if [*each.structured_input_signature[1]] == [INPUT])


def answer(batch: np.ndarray) -> np.ndarray:
    """The outputs for a batch, which has the shape and the type of the model's input."""
    return FUNCTION(**{INPUT: tf.constant(batch)})[OUTPUT].numpy()
