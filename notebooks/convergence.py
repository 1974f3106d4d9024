# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: title
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   title: Convergence of a federated run
# ---

# %% [markdown]
# # Convergence of a federated run, and what it is for each site
#
# Five questions to one run: where it converged to, whom its model serves, whether skew explains that, where the time
# of a round went, and what a pause and a lost site did. Each has an answer, computed from what the run left, and a
# figure.
#
# It reads the newest run of the nearest home; `FEDFORGE_HOME` names another home, `FEDFORGE_RUN` another run, and
# `FEDFORGE_EXPORT` a file that a monitor has exported (`GET /api/runs/RUN_ID/export`), which needs no home.
# `fedforge demo` makes a run to begin with, `make notebook` renders this page. What a run does not have is said where
# it would be.

# %%
import io
import os
from pathlib import Path

import pandas as pd
from IPython.display import SVG, Markdown, display
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fedforge_runtime.analysis import (
    find_home,
    lost_sites,
    rank_correlation,
    read_baseline,
    read_export,
    read_run,
    timeline,
    waterfall,
)

if os.environ.get("FEDFORGE_EXPORT"):
    run = read_export(Path(os.environ["FEDFORGE_EXPORT"]))
    baselines = Path("baselines")
else:
    home = find_home()
    run = read_run(home, os.environ.get("FEDFORGE_RUN") or None)
    baselines = home.root.parent / "baselines"
baseline = read_baseline(run, Path(os.environ.get("FEDFORGE_BASELINES") or baselines))

# Okabe and Ito's palette, which people with any colour vision can tell apart; what shares a colour has another marker.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5fb0", "#5c6670"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
MUTED = "#8a949e"
MOST_SITES = 20  # that one figure can show
rcParams.update(
    {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "font.size": 10,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "fedforge",
    }
)


def say(*sentences: str) -> None:
    """An answer, in words."""
    display(Markdown(" ".join(sentence for sentence in sentences if sentence)))


def lacks(what: str) -> None:
    """What cannot be answered of this run, and why."""
    display(Markdown(f"*Not in this run:* {what}"))


def panels(question: str, *, height: float = 4.2, **layout: object) -> tuple[Figure, list[Axes]]:
    """A figure whose title says what it shows, and what its numbers were made from."""
    figure = Figure(figsize=(11, height), layout="constrained")
    axes = figure.subplots(squeeze=False, **layout).ravel().tolist()
    figure.suptitle("\n".join([question, made_from()]), fontsize=12)
    return figure, axes


def show(figure: Figure) -> None:
    image = io.StringIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    described_as = figure.get_suptitle().replace("\n", ", ")
    display(SVG(image.getvalue()), metadata={"image/svg+xml": {"alt": described_as}})


def made_from() -> str:
    """The run, its images and, where they are not official ones or the backbone is not trained, that label."""
    title = run.description.data.title if run.description else "images unknown"
    return f"{run.run_id}: {title}" + (f" – {run.label}" if run.label else "")


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def percent(part: float, digits: int = 0) -> str:
    return f"{100 * part:.{digits}f} %"


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def zoom(axes: Axes, *values: pd.Series, name: str = "accuracy") -> None:
    """Let the vertical axis begin at the tenth below all values, and say so."""
    lowest = max(0.0, (min(value.min() for value in values) - 0.02) * 10 // 1 / 10)
    axes.set(ylim=(lowest, 1.01), ylabel=f"{name} (axis from {lowest:.1f})")


# %% [markdown]
# ## The run

# %%
GENERATED = "The images are generated: no score says anything about medical images."
UNOFFICIAL = "No score compares with published ones, which are of the official archive."

described = run.description
if run.label:
    say(
        f"Made from: **{run.label}**, which every figure says again.",
        GENERATED if described and described.data.phantom else UNOFFICIAL,
        "The backbone's weights are random." if described and not described.backbone.trained else "",
    )
for sentence in run.damage:
    say(f"**Damaged:** {sentence}")
if described is None:
    lacks("what it is made of, as it has not come so far.")
else:
    learning, federation = described.configuration["learning"], described.configuration["federation"]
    partition = "each site's own data"
    if described.partition:
        parameters = (described.partition.parameters.get("parameters") or {}).items()
        partition = ", ".join([described.partition.name, *(f"{name} {value}" for name, value in parameters)])
    facts = {
        "run": run.run_id,
        "images": f"{described.data.title}, licence {described.data.licence}",
        "rows": ", ".join(f"{rows:,} {split}" for split, rows in described.data.rows.items()),
        "backbone": Path(described.backbone.name).name,
        "partition": f"{partition}, {len(run.sites)} sites",
        "strategy": federation["strategy"]["name"],
        "trained": f"{learning['mode']}, learning rate {learning['learning_rate']:g}",
        "epochs a round": learning["epochs"],
        "rounds": f"{len(run.rounds)} of {federation['rounds']}",
        "engine": described.configuration["runtime"]["engine"],
        "FedForge": f"{described.code.version}, commit {described.code.commit or 'unknown'}",
    }
    say("\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]))

# %% [markdown]
# ## 1. Where did it converge to?
#
# On the left the new model of each round on the central validation split. On the right the final model on the test
# split, between what it could have been: each site's rows alone, and all rows in one place, on the same budget of
# epochs.

# %%
WITHIN = 0.01  # of the last accuracy: settled
rounds, scores = run.rounds, run.test_scores.set_index("model")
accuracy = rounds["validation_accuracy"]
federated = scores.loc["federated"] if "federated" in scores.index else None
alone = scores.loc[scores.index == "alone", "accuracy"]
bounded = "all rows in one place" in scores.index

if rounds.empty:
    lacks("a completed round.")
else:
    last, unsettled = accuracy.iloc[-1], rounds.loc[(accuracy - accuracy.iloc[-1]).abs() > WITHIN, "round"]
    since = 1 if unsettled.empty else rounds.loc[rounds["round"] > unsettled.iloc[-1], "round"].iloc[0]
    answer = [
        f"After {len(rounds)} rounds the accuracy on the validation split is **{last:.3f}**, "
        f"{accuracy.max():.3f} at best (round {rounds.loc[accuracy.idxmax(), 'round']}).",
        f"It has stayed within {WITHIN:g} of its last value since round {since}."
        if since < rounds["round"].iloc[-1]
        else f"The last round alone moved it by more than {WITHIN:g}: it has not settled.",
    ]
    if federated is not None:
        answer.append(
            f"On the test split it is **{federated['accuracy']:.3f}** "
            f"(95 % {federated['accuracy_low']:.3f} to {federated['accuracy_high']:.3f})."
        )
    if federated is not None and bounded and len(alone):
        floor, ceiling = alone.mean(), scores.loc["all rows in one place", "accuracy"]
        part = (federated["accuracy"] - floor) / (ceiling - floor) if ceiling > floor else float("nan")
        answer.append(
            f"That is {percent(part)} of the way from a site alone ({floor:.3f} on average) "
            f"to all rows in one place ({ceiling:.3f})."
        )
    if federated is not None and baseline:
        more = federated["accuracy"] - baseline["accuracy"]
        answer.append(f"The accepted baseline has {baseline['accuracy']:.3f}, a difference of {more:+.3f}.")
    say(*answer)

    figure, (curve, test) = panels("Accuracy by round, and what it is compared with", ncols=2, width_ratios=[3, 2])
    drawn = {"accuracy": "validation_accuracy", "balanced accuracy": "validation_balanced_accuracy"}
    for number, (name, column) in enumerate(drawn.items()):
        curve.plot(
            rounds["round"], rounds[column], color=colour(number), marker=marker(number), markersize=5, label=name
        )
    curve.set(title="validation split", xlabel="round")
    zoom(curve, *(rounds[column] for column in drawn.values()), name="score")
    curve.xaxis.get_major_locator().set_params(integer=True)
    curve.legend(loc="lower right")

    lines = {
        name: scores.loc[name, "accuracy"] for name in ("all rows in one place", "closed form") if name in scores.index
    }
    lines |= {"accepted baseline": baseline["accuracy"]} if baseline else {}
    lines |= {"federated": federated["accuracy"]} if federated is not None else {}
    names = [*(["each site alone"] if len(alone) else []), *sorted(lines, key=lines.__getitem__)]
    for place, name in enumerate(names):
        own = name == "federated"
        if name == "each site alone":
            test.plot(alone, [place] * len(alone), "|", color=MUTED, markersize=16, markeredgewidth=2)
            test.annotate(
                f"{alone.min():.3f} to {alone.max():.3f}", (alone.max(), place), (8, -3), textcoords="offset points"
            )
            continue
        if own:
            test.plot(
                [federated["accuracy_low"], federated["accuracy_high"]], [place] * 2, color=colour(0), linewidth=3
            )
        test.plot(lines[name], place, "o" if own else "D", color=colour(0) if own else colour(1), markersize=7)
        test.annotate(f"{lines[name]:.3f}", (lines[name], place), (0, 9), textcoords="offset points", ha="center")
    test.set(
        title="test split (line: 95 % interval)", xlabel="accuracy (0 to 1)", xlim=(0, 1), ylim=(-0.6, len(names) - 0.3)
    )
    test.set_yticks(range(len(names)), names)
    show(figure)

if federated is None:
    lacks("scores on the test split, which a run has once it is completed.")
if not bounded:
    lacks(f"bounds. `fedforge bounds {run.run_id}` computes them where the rows of all sites are on this machine.")
if baseline is None:
    lacks("an accepted baseline for these data. `fedforge baseline accept RUN_ID` makes a run one.")

# %% [markdown]
# ## 2. Whom does the model serve?
#
# Each site judges the new model of every round on its own validation rows. On the right its last judgement, beside that
# of the model that it had trained itself a moment before: where rows are skewed, that one needs to know the site's
# classes only.

# %%
sites = run.sites.dropna(subset=["global_accuracy"]).sort_values("global_accuracy", ignore_index=True)
if sites.empty:
    lacks("a site that has judged a model.")
else:
    worst, *_, best = [*sites.itertuples(), *sites.tail(1).itertuples()]
    sure = f"95 % {worst.accuracy_low:.3f} to {worst.accuracy_high:.3f}, " if pd.notna(worst.accuracy_low) else ""
    better = int((sites["local_accuracy"] > sites["global_accuracy"]).sum())
    say(
        f"It serves site {worst.client} worst: **{worst.global_accuracy:.3f}** "
        f"({sure}{worst.validation_rows:,} rows), and site {best.client} best: "
        f"**{best.global_accuracy:.3f}**; the standard deviation over {len(sites)} sites is "
        f"{sites['global_accuracy'].std(ddof=0):.3f}.",
        f"At {better} of {len(sites)} sites the site's own model does better on its rows.",
    )

    figure, (curve, last) = panels("Accuracy at each site, on its own validation rows", ncols=2, width_ratios=[3, 2])
    by_site = run.clients.pivot(index="round", columns="client", values="global_accuracy")
    named = list(by_site) if len(by_site.columns) <= len(COLOURS) else [worst.client, best.client]
    if len(by_site.columns) > len(named):
        curve.plot(by_site.index, by_site, color=MUTED, linewidth=0.6, alpha=0.5)
    for number, client in enumerate(named):
        style = {"color": colour(number), "marker": marker(number), "markersize": 4, "label": f"site {client}"}
        curve.plot(by_site.index, by_site[client], **style)
    curve.plot(rounds["round"], accuracy, color="black", linewidth=2, linestyle="--", label="validation split")
    curve.set(title="the new model of each round", xlabel="round")
    zoom(curve, by_site.stack(), accuracy)
    curve.xaxis.get_major_locator().set_params(integer=True)
    curve.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)

    shown = sites.head(MOST_SITES)
    last.hlines(shown.index, shown["accuracy_low"], shown["accuracy_high"], color=colour(0), linewidth=3, alpha=0.5)
    last.plot(
        shown["global_accuracy"], shown.index, "o", color=colour(0), markersize=7, label="federated (95 % interval)"
    )
    last.plot(shown["local_accuracy"], shown.index, "D", color=colour(1), markersize=6, label="the site's own")
    more = "" if len(shown) == len(sites) else f", the {len(shown)} worst of {len(sites)} sites"
    last.set(title=f"last round{more}", xlabel="accuracy (0 to 1)", xlim=(0, 1.02), ylim=(-0.5, len(shown) - 0.5))
    last.set_yticks(shown.index, [f"site {row.client}, {row.validation_rows:,} rows" for row in shown.itertuples()])
    last.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=2)
    show(figure)

# %% [markdown]
# ## 3. Does skew explain it?
#
# Skew of a site is the Jensen-Shannon distance of its mix of classes to that of all rows: 0 the same mix, 1 no class in
# common. Whether it goes with accuracy is asked by Spearman's rank correlation; how often chance alone gives one as
# strong, by shuffling the sites.

# %%
counts = run.class_counts
judged = run.sites.dropna(subset=["global_accuracy", "jensen_shannon_distance"])
if counts.empty:
    lacks("how many rows of each class the sites have: they do not say it, or the run has not come so far.")
else:
    found = rank_correlation(judged["jensen_shannon_distance"].tolist(), judged["global_accuracy"].tolist())
    skew = run.sites["jensen_shannon_distance"]
    if found.value is None:
        say(f"It cannot be told: {found.pairs} sites with different skew and accuracy are too few.")
    else:
        verdict = "That is unlikely to be chance" if found.p_value <= 0.05 else "It may well be chance"
        say(
            f"The sites' distances are {skew.min():.3f} to {skew.max():.3f}. Their rank correlation with accuracy is "
            f"**{found.value:+.2f}** over {found.pairs} sites. {verdict}: one as strong comes in "
            f"{percent(found.p_value, 1)} of shuffled orders."
        )

    figure, (mix, scatter) = panels("Who holds what, and the accuracy there", ncols=2, width_ratios=[3, 2], height=4.6)
    shares = counts.div(counts.sum(axis=1), axis=0).head(MOST_SITES)
    left = pd.Series(0.0, index=shares.index)
    for number, name in enumerate(shares):
        hatch = "//" if number >= len(COLOURS) else None
        style = {"color": colour(number), "hatch": hatch, "edgecolor": "white", "label": shorten(name, 22)}
        mix.barh(range(len(shares)), shares[name], left=left, **style)
        left += shares[name]
    mix.set_yticks(range(len(shares)), [f"site {client}, {counts.loc[client].sum():,} rows" for client in shares.index])
    mix.set(title="classes", xlabel="part of the site's rows (0 to 1)", xlim=(0, 1))
    mix.invert_yaxis()
    mix.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=4, fontsize=8)

    spans = [judged["global_accuracy"] - judged["accuracy_low"], judged["accuracy_high"] - judged["global_accuracy"]]
    distances, reached = judged["jensen_shannon_distance"], judged["global_accuracy"]
    scatter.errorbar(distances, reached, yerr=spans, fmt="o", color=colour(0), ecolor=MUTED, capsize=3)
    for site in judged.head(MOST_SITES).itertuples():
        where = (site.jensen_shannon_distance, site.global_accuracy)
        scatter.annotate(f"site {site.client}", where, (6, 5), textcoords="offset points", fontsize=9)
    scatter.set(
        title="accuracy by skew (95 % intervals)",
        xlabel="Jensen-Shannon distance",
    )
    scatter.margins(x=0.15)
    scatter.locator_params(axis="x", nbins=5)
    zoom(scatter, judged["accuracy_low"].fillna(reached), name="accuracy")
    show(figure)

# %% [markdown]
# ## 4. Where does the time of a round go?
#
# A site's work is timed by the site, and its round trip by the server; what is left of the round trip is the way there
# and back, and waiting for a free worker where several sites share a machine. Which part of that came before the work
# and which after it is not known. On the left the round of median length, on the right the mean of all rounds.

# %%
steps = waterfall(run.log)
SHADES = {"train": 0, "evaluate": 2, "no usable answer": 1, "aggregate": 4, "finish": 5}  # the rest is waiting


def shade(step: str) -> dict[str, object]:
    known = step in SHADES
    return {"facecolor": colour(SHADES[step]) if known else "#e3e7ea", "edgecolor": "none" if known else MUTED}


if steps.empty:
    lacks("a completed round.")
else:
    server, of_sites = steps[steps["node_id"] == "server"], steps[steps["node_id"] != "server"]
    lengths = server.groupby("round")["seconds"].sum()
    typical = lengths.sort_values().index[(len(lengths) - 1) // 2]
    own_work = server[server["step"].isin(["aggregate", "finish"])]["seconds"].sum() / lengths.sum()
    answered = of_sites[(of_sites["task"] == "train") & (of_sites["step"] != "no usable answer")]
    trips = answered.groupby(["round", "node_id"])["seconds"].sum()
    last_of_round = trips.unstack().idxmax(axis=1)
    slowest = last_of_round.mode().iloc[0]
    trained = of_sites[of_sites["step"] == "train"].groupby("node_id")["seconds"].sum()
    waited = of_sites[of_sites["step"] == "waiting and transfer"]["seconds"].sum() / of_sites["seconds"].sum()
    say(
        f"A round takes **{seconds(lengths.median())}** (median of {len(lengths)}); the server's own work is "
        f"{percent(own_work, 1)} of the time. {slowest.replace('client-', 'Site ')} answers last "
        f"in {(last_of_round == slowest).sum()} of them.",
        f"**{percent(waited)}** of the sites' round trips is no work but waiting and transfer.",
    )

    order = trained.sort_values(ascending=False).index[:MOST_SITES].tolist()
    order = [*sorted(order, key=lambda node: int(node.removeprefix("client-"))), "server"]
    labels = [node.replace("client-", "site ") for node in order]
    figure, (one, mean) = panels(
        "Where the time of a round goes", ncols=2, width_ratios=[3, 2], sharey=True, height=4.6
    )
    for row in steps[(steps["round"] == typical) & steps["node_id"].isin(order)].itertuples():
        one.barh(order.index(row.node_id), row.seconds, left=row.start_seconds, height=0.6, **shade(row.step))
    one.set_yticks(range(len(order)), labels)
    one.invert_yaxis()
    one.set(title=f"round {typical}", xlabel="seconds since the round began", xlim=(0, None))

    known = steps.assign(step=steps["step"].where(steps["step"].isin(list(SHADES)), "waiting and transfer"))
    totals = known.pivot_table(index="node_id", columns="step", values="seconds", aggfunc="sum", fill_value=0.0)
    means, left = totals.div(steps.groupby("node_id")["round"].nunique(), axis=0).loc[order], 0.0
    for step in [step for step in [*SHADES, "waiting and transfer"] if step in means]:
        mean.barh(range(len(order)), means[step], left=left, height=0.6, **shade(step))
        left += means[step]
    mean.set(title="mean of all rounds that it took part in", xlabel="seconds a round", xlim=(0, None))
    keys = {step: Patch(**shade(step)) for step in [*SHADES, "waiting and transfer"] if step in means}
    figure.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=len(keys))
    show(figure)

# %% [markdown]
# ## 5. What did a pause and a lost site do?
#
# The run on its server's clock: each bar is a round in which a site's update was used; before the first one the sites
# connect and agree on the means of their features. A pause comes to pass between rounds and costs its time alone.
# Rounds go on without a site that fails, as long as enough others answer.

# %%
spans, lost = timeline(run.log), lost_sites(run.log)
pauses, gaps = spans[spans["kind"] == "pause"], spans[spans["kind"] == "between attempts"]
unfinished = spans[spans["kind"] == "unfinished round"]
reached = rounds.set_index("round")["validation_accuracy"]
asked_by = {event.given_by for event in run.log if event.type == "command_given" and event.command == "pause"}


def moved(before: int, after: int) -> str:
    """How accuracy went from one round to another, where both are there."""
    if before not in reached.index or after not in reached.index:
        return "no accuracy before it to compare with"
    return f"validation accuracy {reached[before]:.3f} before it, {reached[after]:.3f} in round {after}"


for pause in pauses.itertuples():
    by = f", asked for by {', '.join(sorted(asked_by))}" if asked_by else ""
    went = moved(pause.round - 1, pause.round)
    say(f"**Paused** for {seconds(pause.seconds)} before round {pause.round}{by}: {went}.")
for gap in gaps.itertuples():
    say(f"**Ended and resumed** as attempt {gap.attempt}, after {seconds(gap.seconds)} in which nothing ran.")
ended = {event.attempt for event in run.log if event.type in ("run_completed", "run_failed", "run_stopped")}
for span in unfinished.itertuples():
    over = span.attempt in ended or span.attempt < run.events["attempt"].max()
    fate = "not completed there; its work was discarded whole" if over else "has said no end yet"
    say(f"Round {span.round} was begun in attempt {span.attempt} and {fate}.")
for loss in lost.itertuples():
    held = run.sites.set_index("client")["rows"]
    part = f", with {percent(held[loss.client] / held.sum())} of the rows," if held.notna().all() else ""
    back = "never came back" if pd.isna(loss.next_round) else f"was back in round {loss.next_round}"
    went = f" ({reached[loss.next_round]:.3f})" if loss.next_round in reached.index else ""
    say(
        f"**Site {loss.client}**{part} **was lost** in round {loss.round}, asked to {loss.task}: {loss.reason}. "
        f"Rounds without it: {loss.rounds_without}; {moved(loss.round - 1, loss.round)}. It {back}{went}."
    )

done = spans[spans["kind"] == "round"].set_index("round")
if done.empty:
    lacks("a completed round.")
else:
    clients = run.sites["client"].head(MOST_SITES).tolist()
    figure, (score, presence) = panels(
        "The run in time, with what held it up and whom it lost", nrows=2, sharex=True, height_ratios=[3, 2], height=5.4
    )
    ends = done["start_seconds"] + done["seconds"]
    score.plot(ends, reached.reindex(done.index), color=colour(0), marker="o", label="validation accuracy")
    for row in run.clients[run.clients["client"].isin(clients)].itertuples():
        if row.round in done.index:
            start, length = done.loc[row.round, ["start_seconds", "seconds"]]
            presence.barh(clients.index(row.client), length * 0.94, left=start, height=0.5, color=colour(0), alpha=0.75)
    for axes in (score, presence):
        for kind, shade in ((pauses, colour(4)), (gaps, MUTED)):
            for span in kind.itertuples():
                axes.axvspan(span.start_seconds, span.start_seconds + span.seconds, color=shade, alpha=0.3)
        for loss in lost.itertuples():
            axes.axvline(loss.at_seconds, color=colour(1), linestyle=":", linewidth=1)
    inside = {"xycoords": ("data", "axes fraction")}
    for pause in pauses.itertuples():
        middle = pause.start_seconds + pause.seconds / 2
        score.annotate("paused", (middle, 0.05), ha="center", **inside)
    for loss in lost[lost["client"].isin(clients)].itertuples():
        presence.plot(loss.at_seconds, clients.index(loss.client), "X", color=colour(1), markersize=10)
        score.annotate(f" site {loss.client} lost", (loss.at_seconds, 0.05), color=colour(1), **inside)
    score.set(title="the new model, when its round was done")
    zoom(score, reached, name="validation accuracy")
    presence.set_yticks(range(len(clients)), [f"site {client}" for client in clients])
    presence.invert_yaxis()
    presence.set(
        title="rounds that use a site's update", xlabel="seconds since the federated part began", xlim=(0, None)
    )
    show(figure)

if pauses.empty:
    lacks("a pause.")
if lost.empty:
    lacks("a lost site: each that was asked has answered.")
