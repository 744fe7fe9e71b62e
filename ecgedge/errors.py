"""What can go wrong by the user's hand, by a part's, and by the machine's."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator

# what the machine is to blame for: a disk that is full, worn out or not to be written, a limit of the system
MACHINE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "raise the limit (ulimit -f), or make room",
    errno.EIO: "see to the disk",
    errno.EROFS: "make it writable",
    errno.ESTALE: "see to the disk",
    errno.ENOMEM: "free some memory",
    errno.EMFILE: "raise the limit (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.EAGAIN: "close other programs",
}
SPOKEN = [number for number in MACHINE if number != errno.EAGAIN]  # that one is said of much else
SAID = re.compile("|".join(re.escape(os.strerror(number)) for number in SPOKEN))
# what numpy, torch and onnxruntime say of a write that the system cut short; they keep its reason to themselves
CUT = re.compile(
    r"\d+ requested and \d+ written|PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+|"
    rf"Protobuf serialization failed|SystemError : ({'|'.join(map(str, SPOKEN))})\b"
)
SPOKEN_OF = {  # what people say, and the names that are meant
    "int8": ("full-int8", "dynamic"), "qdq": ("full-int8",), "static": ("full-int8",), "w8a8": ("full-int8",),
    "float32": ("fp32",), "float": ("fp32",), "f32": ("fp32",), "float16": ("fp16",), "half": ("fp16",),
    "f16": ("fp16",), "p50": ("latency_p50",), "p95": ("latency_p95",), "p99": ("latency_p99",),
    "latency": ("latency_p50",), "time": ("latency_p50",), "speed": ("latency_p50", "throughput"), "acc": ("accuracy",),
    "auc": ("auroc",), "f1-score": ("f1", "macro_f1"), "ram": ("memory",), "mem": ("memory",), "fps": ("throughput",),
    "ort": ("cpu",), "onnxruntime": ("cpu",), "onnxruntime-cpu": ("cpu",), "onnxruntime-cuda": ("cuda",),
    "onnxruntime-gpu": ("cuda",), "gpu": ("cuda",), "litert": ("tflite",), "ai-edge-litert": ("tflite",),
    "tflite-runtime": ("tflite",), "xnnpack": ("tflite",), "tensorflow": ("saved_model",),
    "pytorch": ("torch",), "tf": ("saved_model",), "lite": ("tflite",), "pth": ("torch",),
}  # fmt: skip
LONGEST = 120  # characters of a name in an error


class EcgEdgeError(Exception):
    """A mistake that the user can mend: printed in one or two lines, exit code 2, no traceback. A script that does not
    catch it shows the hint below its traceback.

    Args:
        message: what is wrong, one line.
        hint: what to do about it, one line; may be empty.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)


class MachineError(EcgEdgeError):
    """The machine failed, not what is made or measured on it: its disk, its memory, a folder that went away.

    A run ends with it and goes on later; no cell fails by it.
    """


class ConversionError(Exception):
    """A conversion ran and its result is wrong or missing. The cell fails, the matrix goes on."""


def unknown(what: str, name: str, choices: list[str]) -> EcgEdgeError:
    """The error for a name that is not there: it lists those that are, and says which may be meant."""
    listed = f"choose from: {', '.join(choices) or 'none'}"
    return EcgEdgeError(f"unknown {what} {cut(name)!r}", f"{meant_by([name], choices)}{listed}")


def meant_by(words: Iterable[str], choices: Collection[str]) -> str:
    """Ask whether names that are there are meant by words that people say for them; empty where none may be."""
    likely = [" or ".join(meant) for word in words if (meant := spoken_of(word, choices))]
    return f"did you mean {' and '.join(likely)}? " if likely else ""


def spoken_of(word: str, choices: Collection[str]) -> list[str]:
    """Which of the names that are there people mean by a word that is none of them."""
    return [] if word in choices else [each for each in SPOKEN_OF.get(word.lower(), ()) if each in choices]


def cut(name: object, length: int = LONGEST) -> str:
    """A name, as an error may show it: of one that is too long, both ends."""
    text = str(name)
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-length // 2 :]}"


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 beat``, ``4,500 beats``, ``2 classes``."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def told_by_system(error: BaseException) -> str:
    """What the system said behind an error, where the machine is to blame: its own words; else empty.

    Libraries hide that at any depth, or keep nothing of it but the words.
    """
    for each in causes(error):
        if isinstance(each, OSError) and each.errno in MACHINE:
            return os.strerror(each.errno)
        if found := SAID.search(str(each)):
            return found[0]
        if found := CUT.search(str(each)):
            return os.strerror(int(found[1])) if found[1] else "a write was cut short"
    return ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those behind it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def remedy(said: str) -> str:
    """What to do about what the system said."""
    return next((todo for number, todo in MACHINE.items() if os.strerror(number) == said), "make room")


def machine_error(what: str, error: BaseException) -> MachineError:
    """The error for what the machine kept from being done; ``what`` is a whole clause."""
    said = told_by_system(error) or (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
    return MachineError(f"{what}: {said}", f"{remedy(said)}, then do it again")
