"""The server's lines: what HTTP costs beside the predictor alone, and what load does not break."""

from typing import Any

from benchmarks.row import Row, measure


def serving() -> list[Row]:
    found = measure("serving")
    alone = found["offline"]
    rows = [
        _pace("requests of 16 texts", found["one 16"], alone["one"], "the predictor alone", 0.9),
        _pace("requests of one text", found["one 1"], alone["one"], "the predictor alone", 0.7),
    ]
    for size, texts in ((16, "16 texts"), (1, "one text")):
        one = found[f"one {size}"]["texts_a_second"]
        mixed = found[f"mixed {size}"]
        rows.append(_pace(f"requests of {texts}, three tasks", mixed, one, "one task", 0.85))
    calm, past, killed = (found[name] for name in ("calm", "past", "killed"))
    rows.append(
        Row(
            "serve, p99 at 80% of the load it takes",
            f"{1000 * calm['p99']:.0f} ms",
            f"{1000 * calm['p50']:.0f} ms, p50",
            calm["p99"] / calm["p50"],
            "< 5x",
            calm["p99"] < 5 * calm["p50"],
        )
    )
    every = [own for name, own in found.items() if name != "offline"]
    wrong = sum(own["wrong"] for own in every)
    answered = sum(own["answered"] for own in every)
    rows.append(
        _unbroken(
            "serve, past what it takes: requests lost, wrong answers, refusals without Retry-After",
            past,
            f"of {past['requests']}, {past['refused']} refused",
            past["refused"] > 0,
        )
    )
    rows.append(
        _unbroken(
            "serve, a replica killed under load: requests lost, wrong answers",
            killed,
            f"of {killed['requests']}",
            True,
        )
    )
    rows.append(
        Row(
            "serve, all loads: answers unlike the predictor's",
            str(wrong),
            f"of {answered:,} requests",
            None,
            "0",
            wrong == 0,
        )
    )
    return rows


def _pace(what: str, load: dict[str, Any], base: float, against: str, least: float) -> Row:
    pace = load["texts_a_second"]
    return Row(
        f"serve, {what}: texts a second",
        f"{pace:.1f}",
        f"{base:.1f}, {against}",
        pace / base,
        f">= {least:g}x",
        pace >= least * base,
    )


def _unbroken(what: str, load: dict[str, Any], against: str, tried: bool) -> Row:
    counts = [load["lost"], load["wrong"], *([load["silent"]] if "Retry" in what else [])]
    target = ", ".join("0" for _ in counts)
    met = tried and not any(counts)
    return Row(what, ", ".join(map(str, counts)), against, None, target, met)
