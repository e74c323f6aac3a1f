"""The service's lines: what the controller and the store cost, and what they survive."""

import statistics

from benchmarks.row import CORES, Row, at_most, measure


def nothing() -> list[Row]:
    found = measure("our_search", "--nothing", "--trials", "200")
    ratio = found["ours"] / found["bare"]
    return [
        at_most(
            "a trial that does nothing",
            f"{found['ours'] * 1000:.0f} ms",
            f"{found['bare'] * 1000:.0f} ms, bare Ray Tune",
            ratio,
            1.5,
        )
    ]


def warm() -> list[Row]:
    """From the end of a real trial to the beginning of its worker's next one."""
    found = measure("our_search", "--trials", "8", "--workers", "2", "--rungs", "3")
    gaps = [gap for search in ("first", "second") for gap in found[search]["warm_starts"]]
    seconds = statistics.median(gaps)
    return [
        Row(
            "start of a warm trial",
            f"{1000 * seconds:.0f} ms",
            f"median of {len(gaps)}, from {1000 * min(gaps):.0f} to {1000 * max(gaps):.0f} ms",
            seconds / 0.1,
            "< 100 ms",
            seconds < 0.1,
        )
    ]


def leaderboard() -> list[Row]:
    """What `show` and `list` ask of a store of a million trials, half of them one search's."""
    rows = []
    for kind, found in measure("big_store").items():
        told = f"{found['list']:.0f} ms to list {found['searches']:.0f} searches"
        rows.append(
            Row(
                f"leaderboard of {found['trials']:,} trials, {kind}",
                f"{found['leaderboard']:.1f} ms",
                "50 ms",
                found["leaderboard"] / 50,
                "< 50 ms",
                found["leaderboard"] < 50,
                told,
            )
        )
    return rows


def simulated() -> list[Row]:
    """The service alone: recorded curves in the place of a model."""
    trials = 10_000
    ours = measure("simulated_search", "--trials", str(trials))
    bare = measure("simulated_search", "--trials", str(trials), "--bare")
    ratio = ours["seconds"] / bare["seconds"]
    grown, theirs = ours["bytes_per_trial"] / 1000, bare["bytes_per_trial"] / 1000
    return [
        Row(
            f"{trials:,} simulated trials on {CORES} workers",
            f"{ours['seconds']:.0f} s",
            f"{bare['seconds']:.0f} s, bare Ray Tune",
            ratio,
            "<= 1.5x",
            ratio <= 1.5,
            "the same searcher and early stopping on both sides",
        ),
        Row(
            "memory of the controller, a trial",
            f"{grown:.1f} kB",
            f"{theirs:.1f} kB, bare Ray Tune",
            grown / theirs,
            "< 20 kB",
            grown < 20,
        ),
    ]


def virtual() -> list[Row]:
    """The searcher, early stopping and store under a virtual clock."""
    rows = []
    for workers in (10, 100, 1000):
        trials = 5 * workers
        found = measure(
            "simulated_search", "--virtual", "--workers", str(workers), "--trials", str(trials)
        )
        rows.append(
            Row(
                f"{workers:,} virtual workers, {trials:,} trials",
                f"{found['utilisation']:.0%} busy, {found['ms_per_decision']:.1f} ms a decision",
                f"{found['decisions']:,} decisions",
                None,
                "finishes",
                True,
                f"the controller decides alone; {found['makespan']:.0f} virtual s",
            )
        )
    return rows


def killed() -> list[Row]:
    """Controllers of real searches get SIGKILL at random moments."""
    times = 50
    found = measure("killed", "--times", str(times))
    return [
        Row(
            f"controller killed {times} times: reported rungs lost, there twice",
            f"{found['lost']}, {found['twice']}",
            f"of {found['reported']} reported",
            None,
            "0, 0",
            found["lost"] == found["twice"] == 0,
        ),
        Row(
            "resumes that end on budget",
            str(found["on_budget"]),
            f"of {times}",
            None,
            str(times),
            found["on_budget"] == times,
            f"{found['same']} are byte for byte the search that was left alone",
        ),
    ]
