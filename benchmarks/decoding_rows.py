"""The lines of answers that a model writes."""

from benchmarks.row import Row, measure


def decoding() -> list[Row]:
    """Greedy decoding from cached contexts, by one prompt and by four."""
    found = measure("decoding")
    what = f"contexts of {found['tokens']:.0f} tokens, answers of {found['most']}"
    rows = []
    for count, own in found.items():
        if not count.isdigit():
            continue
        gain = own["cached"] / own["generate"]
        rows.append(
            Row(
                f"tokens written a second, {what}, prompts: {count}",
                f"{own['cached']:.0f} from cached contexts, {own['read first']:.0f} with reading",
                f"{own['generate']:.0f}, `generate` on prompt and context",
                gain,
                ">= 3x, same tokens",
                gain >= 3 and own["same"] == 1,
                f"{own['same']:.1%} of answers the same, float32; batches of {own['batch']} there",
            )
        )
    return rows
