"""What is measured of a cell: loading, memory, the times of its calls. What is judged of it: ``evaluate.judgement``."""

from __future__ import annotations

from dataclasses import dataclass

from ecgedge.evaluate.facts import figure, rule_of, told
from ecgedge.evaluate.metric import Change, Metric, Shown
from ecgedge.files.schema import flag, list_of, maybe, number, one_of, whole
from ecgedge.files.values import AMOUNT, COUNTED, LINE, MANY, POSITIVE, TRIED_COUNT, either, name
from ecgedge.measure.steadiness import LEAST


def time(name: str, shown: Shown | None = None, change: Change | None = None) -> Metric:
    """A time of the timed calls, in microseconds."""
    ends = (f"{name}_low_us", f"{name}_high_us")
    return Metric(name, f"{name}_us", "time", timed=True, ends=ends, shown=shown, change=change)


BLOCKS = {  # that a runtime asks for, by the fields of ``api.Blocks``
    "calls": whole(1, MANY),
    "rounds": whole(LEAST, 10_000),
    "pause_s": number(least=0, below=1e6),
    "reload": flag,
}


@dataclass(frozen=True, kw_only=True)
class Meters:
    """By what a cell was measured, where its session measures itself; what is None, ecgedge measured.

    Attributes:
        clock: that its latencies and its throughput are by.
        memory_source, energy_source: what told its memory and its energy.
    """

    clock: str | None = told(LINE)
    memory_source: str | None = told(LINE)
    energy_source: str | None = told(LINE)


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What loading took, once.

    Attributes:
        processors: on which alone the process ran; None: on any.
    """

    load_ms: float | None = figure(AMOUNT, Metric("load_time", "load_ms", "time", scale=1e3))
    first_call_us: float | None = figure(AMOUNT, Metric("first_call", "first_call_us", "time"))
    processors: list[int] | None = told(maybe(list_of(whole(0, MANY), MANY)), null=True)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What loading and the first calls took at most, in KiB; None where the system does not tell.

    Attributes:
        kib: above the process with the same libraries imported; of a session that tells its own memory that.
        base_kib: that process.
    """

    kib: int | float | None = figure(
        maybe(AMOUNT),
        Metric("memory", "memory_kib", "bytes", scale=1024,
               shown=Shown("RAM", "RAM", "MB", 1e-6, digits=1, means="memory that it takes beyond the libraries")),
        null=True,
    )  # fmt: skip
    base_kib: int | None = told(maybe(AMOUNT), "memory_base_kib", null=True)


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What is told of a device beside the CPU.

    Attributes:
        copies: how copies to and from it stand to the time of a call, as ``Session`` says; None: not told.
        memory_kib: of the device, in KiB.
    """

    copies: str | None = told(maybe(LINE), null=True)
    memory_kib: int | None = figure(
        maybe(AMOUNT), Metric("device_memory", "device_memory_kib", "bytes", scale=1024), null=True
    )


@dataclass(frozen=True, kw_only=True)
class TimeRatio:
    """The times of two cells in the same rounds: of this one relative to another.

    Attributes:
        low, high: the 95% interval.
        result: ``faster``, ``slower``, ``tie`` or ``unsteady``.
        rounds: how many count; None where the machine's state is not told.
        to: the id of the other cell.
    """

    ratio: float = told(POSITIVE, needed=True)
    low: float = told(POSITIVE, needed=True)
    high: float = told(POSITIVE, needed=True)
    result: str = told(one_of("faster", "slower", "tie", "unsteady"), needed=True)
    rounds: int | None = told(COUNTED)
    to: str | None = told(name)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Times of the timed calls, in microseconds, one beat a call.

    Attributes:
        p50_us: the median of the blocks' medians, with its 95% interval.
        p99_us: None where too few calls were timed.
        host_p50_us: of what the host does for a call beside the model.
        blocks: that were timed; ``blocks_quick``: of them in the machine's usual quick state, where that is told.
        unsteady: too few were.
        cpu_share: of the time in which the process was on a processor.
        energy_uj_per_beat: in microjoules, or that it was not measured.
        warm_up_calls: until it was as fast as it gets; ``stable``: it stayed so.
        load: of the machine before; ``sm_clock_mhz``: of a GPU.
        noise_floor: how far from 1 the ratio of two processes that run one file may be; None: not known.
        time_ratio: to the fp32 row of the same model, route, format and runtime.
    """

    p50_us: float = figure(
        POSITIVE,
        time("latency_p50", change=Change("latency", "%", 5.0),
             shown=Shown("p50", "p50", "µs", spread=True,
                         means="median latency of the model, one beat a call, with its 95% interval")),
        needed=True,
    )  # fmt: skip
    p50_low_us: float = told(POSITIVE, "latency_p50_low_us", needed=True)
    p50_high_us: float = told(POSITIVE, "latency_p50_high_us", needed=True)
    p90_us: float | None = figure(POSITIVE, time("latency_p90"))
    p95_us: float = figure(POSITIVE, time("latency_p95", Shown("p95", "p95", "µs")), needed=True)
    p99_us: float | None = figure(maybe(POSITIVE), time("latency_p99", Shown("", "p99", "µs")), null=True)
    host_p50_us: float | None = figure(AMOUNT, time("host_p50"))
    timed_calls: int | None = told(TRIED_COUNT)
    blocks: int | None = told(whole(1, 100_000))
    cpu_share: float | None = told(AMOUNT)
    energy_uj_per_beat: float | str | None = figure(
        either(number(), LINE),
        Metric("energy", "energy_uj_per_beat", "energy", timed=True,
               shown=Shown("", "energy", "µJ/beat", digits=1)),
    )  # fmt: skip
    blocks_quick: int | None = told(whole(0, 100_000))
    unsteady: bool | None = told(flag)
    warm_up_calls: int | None = told(COUNTED)
    stable: bool | None = told(flag)
    load: float | None = told(maybe(AMOUNT), null=True)
    sm_clock_mhz: int | None = told(maybe(AMOUNT))
    noise_floor: float | None = told(maybe(AMOUNT), null=True)
    time_ratio: TimeRatio | None = told(rule_of(TimeRatio), of=TimeRatio)
