"""`squish evolve`."""

import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from squishnative.cli.messages import name_skipped
from squishnative.cli.parameters import (
    Batch,
    Crop,
    Data,
    Distillation,
    Ema,
    Hints,
    LabelSmoothing,
    LearningRate,
    Mirror,
    Mixup,
    Optimiser,
    Resume,
    RunFolder,
    Scale,
    Seed,
    Temperature,
    TorchDevice,
    TorchThreads,
    Views,
)
from squishnative.cli.training import Epochs, given, interruptible, refuse_beside_resume

_UNITS = {
    "bytes": {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "kib": 1024, "mib": 1024**2},
    "seconds": {"s": 1, "ms": 1e-3, "us": 1e-6},
}


def evolve(
    context: typer.Context,
    output: RunFolder,
    data: Data = None,
    ancestor: Annotated[
        Optional[Path],
        typer.Option(
            show_default=False, help="Dense net trained on these classes, as `squish train` makes."
        ),
    ] = None,
    max_bytes: Annotated[
        Optional[list[str]],
        typer.Option(
            show_default=False,
            help="Of the smallest file: 50kB, 0.1MB. Given more than once: a net of each size is "
            "shipped, instead of --family.",
        ),
    ] = None,
    max_latency: Annotated[
        Optional[str],
        typer.Option(
            show_default=False, help="Of one image on the engine, on this machine: 1ms, 300us."
        ),
    ] = None,
    max_drop: Annotated[
        Optional[float],
        typer.Option(
            min=0,
            show_default=False,
            help="Points that a young net may lose on held-out images before the run ends; it wins "
            "many back when it is trained to the end. Wants an ancestor that was trained with the "
            "same --held-out and --seed, and so has not seen these images.",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help='Type of the shipped weights: "f32", "f16", "i8", "i4".')
    ] = "i8",
    storage: Annotated[
        str,
        typer.Option(
            help='What nets are shipped for: "f32"; "i8", integers; "f16", on CUDA; "auto": '
            "integers with --dtype i8 and i4; an engine then computes these or floats, whichever "
            "is faster."
        ),
    ] = "auto",
    cluster_shape: Annotated[
        str,
        typer.Option(
            help='Outputs by inputs of what lives and dies: "16x1"; "16x4", which integers '
            "compute as fast as one of the former: nets of as many bytes are faster and a little "
            'less accurate; "auto": "16x4" where the only budget is of time, in integers. '
            "--strategy paper has clusters of its own."
        ),
    ] = "auto",
    strategy: Annotated[
        str,
        typer.Option(
            help='"evolve"; "paper", as published; "one-shot", "gradual", "rigl": its rivals.'
        ),
    ] = "evolve",
    generations: Annotated[int, typer.Option(min=1)] = 10,
    population: Annotated[int, typer.Option(min=1, help="Offspring a generation.")] = 1,
    parents: Annotated[int, typer.Option(min=1, max=5, help="Of each, at most.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="Of training, for each individual.")] = 6,
    family: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many nets are shipped, the ancestor with weights of --dtype among them.",
        ),
    ] = 5,
    mature_epochs: Annotated[
        int, typer.Option(min=1, help="Of training, for each net that is shipped.")
    ] = 30,
    cluster_factor: Annotated[
        float, typer.Option(min=0, max=1, help="F_c of --strategy paper.")
    ] = 0.9,
    synapse_factor: Annotated[
        float, typer.Option(min=0, max=1, help="F_s of --strategy paper.")
    ] = 0.9,
    cluster: Annotated[
        str, typer.Option(help='Of --strategy paper: "filter" or "kernel".')
    ] = "filter",
    truncate_below: Annotated[
        float,
        typer.Option(min=0, help="Smaller weights add nothing to a cluster of --strategy paper."),
    ] = 0.0,
    batch: Batch = 64,
    lr: LearningRate = None,
    optimiser: Optimiser = "adamw",
    distillation: Distillation = 1.0,
    temperature: Temperature = 4.0,
    hints: Hints = 1.0,
    label_smoothing: LabelSmoothing = 0.1,
    ema: Ema = 0.99,
    mixup: Mixup = 0.0,
    crop: Crop = 0.6,
    scale: Scale = 1.0,
    views: Views = 0,
    mirror: Mirror = True,
    held_out: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.9, help="Share of the training images that parents are chosen by."
        ),
    ] = 0.1,
    seed: Seed = 0,
    engine_device: Annotated[
        str, typer.Option(help='Where the engine is timed: "cpu", "cuda", "cuda:1".')
    ] = "cpu",
    engine_threads: Annotated[int, typer.Option(min=1, help="Of the engine that is timed.")] = 1,
    threads: TorchThreads = 0,
    device: TorchDevice = "cpu",
    resume: Resume = False,
) -> None:
    """Evolves a trained net into a family of ever smaller and faster ones.

    Each generation has fewer clusters of weights than the one before, until the budget is met. Then
    a few nets from the largest to the smallest are trained to the end: these, in the folder's
    family/, are what is shipped. A run that was killed continues with --resume. Exit code 1 where a
    budget was not met: the nets that there are stay. Needs the extra [train].

    squish evolve --data photos --ancestor run/net.squish --max-bytes 100kB -o family
    squish evolve ... --max-bytes 100kB --max-bytes 50kB --max-bytes 25kB --dtype i4 -o family
    squish evolve --resume -o family
    """
    import torch  # takes seconds

    from squishnative.evolve import run
    from squishnative.train.memory import keep_freed_memory
    from squishnative.train.recipe import Recipe, rate

    keep_freed_memory()
    if resume:
        refuse_beside_resume(context)
    else:
        for option, value in (("--data", data), ("--ancestor", ancestor)):
            if value is None:
                raise typer.BadParameter("wanted with a new run", param_hint=option)
        if strategy != "paper" and not max_bytes and max_latency is None:
            raise typer.BadParameter("wanted, or --max-latency, or both", param_hint="--max-bytes")
        for name in ("cluster_factor", "synapse_factor", "cluster", "truncate_below"):
            if strategy != "paper" and given(context, name):
                option = "--" + name.replace("_", "-")
                raise typer.BadParameter("is of --strategy paper", param_hint=option)
        if len(max_bytes or []) > 1 and given(context, "family"):
            wanted = "not beside several --max-bytes, which ship a net each"
            raise typer.BadParameter(wanted, param_hint="--family")
        latency = None
        if max_latency is not None:
            latency = _parse(max_latency, "seconds", "--max-latency")
        sizes = sorted(_parse(text, "bytes", "--max-bytes") for text in max_bytes or [])
        settings = run.Settings(
            str(data),
            str(ancestor),
            max_bytes=sizes[0] if sizes else None,
            larger_bytes=tuple(sizes[1:]),
            max_seconds=latency,
            max_drop=max_drop,
            dtype=dtype,
            storage=storage,
            cluster_shape=cluster_shape,
            strategy=strategy,
            generations=generations,
            population=population,
            parents=parents,
            family=family,
            mature_epochs=mature_epochs,
            cluster_factor=cluster_factor,
            synapse_factor=synapse_factor,
            cluster=cluster,
            truncate_below=truncate_below,
            held_out=held_out,
            threads=engine_threads,
            engine_device=engine_device,
            seed=seed,
            device=device,
            torch_threads=threads,
            recipe=Recipe(
                epochs=epochs,
                batch=batch,
                lr=rate(lr, optimiser),
                optimiser=optimiser,
                distillation=distillation,
                temperature=temperature,
                hints=hints,
                label_smoothing=label_smoothing,
                ema=ema,
                mixup=mixup,
                crop=crop,
                scale=scale,
                views=views,
                mirror=mirror,
            ),
        )
        run.begin(output, settings)
    asked = run.saved_settings(output)
    if asked.torch_threads:
        torch.set_num_threads(asked.torch_threads)
    done = sum(individual.epochs for individual in run.young(output) + run.family(output))

    def report(individual: run.Individual) -> None:
        typer.echo(
            f"{individual.name:31} {100 * individual.val_accuracy:6.2f} % "
            f"{individual.bytes[asked.dtype]:9,} {100 * individual.density:6.1f} % "
            f"{1e3 * individual.seconds:7.3f} ms"
        )

    typer.echo(f"{'':31}      val  {asked.dtype} bytes  density    latency")
    with interruptible(), Epochs(asked.epochs, done, lines=True) as bar:
        run.evolve(output, report, after_epoch=bar.advance, on_skipped=name_skipped)
    missed = run.missed(output)
    for sentence in missed:
        typer.echo(f"squish: {sentence}", err=True)
    if missed:
        raise typer.Exit(1)


def _parse(text: str, kind: str, option: str) -> float:
    units = _UNITS[kind]
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise typer.BadParameter(f"got {text!r}, wanted a number with {known}", param_hint=option)
    return float(match[1]) * units[match[2]]
