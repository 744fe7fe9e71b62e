"""The same file on several devices, in one picture: what it takes on each."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, Key, form, swatch
from ecgedge.report.html.latency import frame
from ecgedge.report.html.svg import Scale
from ecgedge.run.row import Row

WIDTH, LANE, TOP, RIGHT = 900, 26, 14, 880
MOST_FORMS = 60


def across(rows: Sequence[Row]) -> Figure | None:
    """A lane for each form that was timed on several devices, with a mark a device; None where none was."""
    forms: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.latency:
            forms.setdefault((row.model, *row.route, row.quantizer, row.runtime), []).append(row)
    found_several = [each for each in forms.values() if len({row.place for row in each}) > 1]
    several = found_several[:MOST_FORMS]
    if not several:
        return None
    places = list(dict.fromkeys(row.place for each in several for row in each))
    found = [row.times.p50_us for each in several for row in each]
    left = 16 + max(svg.width_of(name(each[0])) for each in several)
    bottom = TOP + LANE * len(several)
    x, y = Scale(min(found) / 1.2, max(found) * 1.2, left, RIGHT, log=True), Scale(0, 1, bottom, TOP)
    parts = [frame(x, y)]
    words = []
    for number, each in enumerate(several):
        parts.append(lane(each, x, TOP + LANE * (number + 0.5), places))
        times = ", ".join(f"{row.times.p50_us:,.1f} µs on {row.place}" for row in each)
        words.append(f"{name(each[0])}: {times}")
    keys = [Key(swatch(svg.shape(i), svg.colour(i)), place) for i, place in enumerate(places)]
    caption = (
        "Median of one beat a call, with its 95% interval: one file a lane. Devices were not timed in the same rounds."
    )
    if more := len(found_several) - len(several):
        caption += f" {more:,} more forms are in the table alone."
    title = "The same file on each device"
    picture = svg.picture(WIDTH, bottom + 44, title, "; ".join(words), *parts, class_="lanes")
    return Figure(picture, caption, keys, wide=True)


def name(row: Row) -> str:
    return f"{svg.cut(row.model, 20)} {form(row)}"


def lane(rows: Sequence[Row], x: Scale, middle: float, places: Sequence[str]) -> Markup:
    """One form: a mark for each device, and a bar for the interval."""
    parts = [svg.text(x.start - 12, middle + 4, name(rows[0]), anchor="end", class_="label")]
    parts.append(svg.line(x.start, middle, x.end, middle, "grid"))
    for row in rows:
        number = places.index(row.place)
        low, high, p50 = (x(each) for each in (row.times.p50_low_us, row.times.p50_high_us, row.times.p50_us))
        words = f"{row.place}: {row.times.p50_us:,.1f} µs"
        parts.append(svg.line(low, middle, high, middle, f"curve {svg.colour(number)}"))
        parts.append(svg.marker(svg.shape(number), p50, middle, 6, f"mark {svg.colour(number)}", words))
    return svg.element("g", *parts)
