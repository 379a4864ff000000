"""`squish train`."""

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

TORCHVISION = Path("torchvision")


def train(
    context: typer.Context,
    output: RunFolder,
    data: Data = None,
    init: Annotated[
        Optional[Path],
        typer.Option(
            show_default=False,
            help="Net to begin with: .pth, .safetensors, .onnx or .squish; or torchvision: its "
            "weights of ImageNet are fetched. [default: from scratch]",
        ),
    ] = None,
    teacher: Annotated[
        Optional[Path],
        typer.Option(show_default=False, help="Net whose logits are learnt too (distillation)."),
    ] = None,
    version: Annotated[
        str, typer.Option(help='SqueezeNet from scratch or torchvision: "1.0" or "1.1".')
    ] = "1.1",
    width: Annotated[
        float, typer.Option(min=0.01, max=8, help="Its channels from scratch, as a multiple.")
    ] = 1.0,
    size: Annotated[int, typer.Option(min=32, help="Pixels of a side of the input.")] = 128,
    resize: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            show_default=False,
            help="Of the shorter side of a photograph before its middle is cut out; 0: squashed. "
            "[default: 256/224 of --size]",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch: Batch = 64,
    lr: LearningRate = None,
    optimiser: Optimiser = "sgd",
    distillation: Distillation = 0.5,
    temperature: Temperature = 2.0,
    hints: Hints = 0.0,
    label_smoothing: LabelSmoothing = 0.1,
    ema: Ema = 0.99,
    mixup: Mixup = 0.0,
    crop: Crop = 0.35,
    scale: Scale = 1.0,
    views: Views = 0,
    mirror: Mirror = True,
    held_out: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of the training images left for `squish evolve` to judge on.",
        ),
    ] = 0.0,
    seed: Seed = 0,
    threads: TorchThreads = 0,
    device: TorchDevice = "cpu",
    resume: Resume = False,
) -> None:
    """Trains a SqueezeNet on a folder of photographs.

    Leaves net.squish in the folder, with log.csv and a checkpoint after each epoch. A run that was
    killed continues with --resume to the same bits. Needs the extra [train].

    squish train --data photos --init squeezenet1_1.pth -o run
    squish train --data photos --init torchvision --version 1.0 -o run
    squish train --resume -o run
    """
    import torch  # takes seconds

    from squishnative.train import run
    from squishnative.train.memory import keep_freed_memory
    from squishnative.train.pretrained import pretrained
    from squishnative.train.recipe import Recipe, rate

    keep_freed_memory()
    if resume:
        refuse_beside_resume(context)
    else:
        if data is None:
            raise typer.BadParameter("wanted: a folder or a tar file", param_hint="--data")
        fetched = init == TORCHVISION and not init.exists()
        for name in ("width",) if fetched or init is None else ("version", "width"):
            if init is not None and given(context, name):
                raise typer.BadParameter("the net of --init has its own", param_hint=f"--{name}")
        for name in ("distillation", "temperature"):
            if teacher is None and given(context, name):
                raise typer.BadParameter("is of a --teacher", param_hint=f"--{name}")
        if fetched:
            init = pretrained(version)
        recipe = Recipe(
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
        )
        run.begin(
            output,
            run.Settings(
                str(data),
                init=None if init is None else str(init),
                teacher=None if teacher is None else str(teacher),
                version=version,
                width=width,
                size=size,
                resize=resize,
                held_out=held_out,
                seed=seed,
                device=device,
                torch_threads=threads,
                recipe=recipe,
            ),
        )
    asked = run.saved_settings(output)
    total = asked.recipe.epochs
    if asked.torch_threads:
        torch.set_num_threads(asked.torch_threads)
    with interruptible(), Epochs(total, run.epochs_done(output), lines=False) as epochs_left:

        def report(progress: run.Progress) -> None:
            epochs_left.advance()
            typer.echo(
                f"epoch {progress.epoch.number:3} of {total}  loss {progress.epoch.loss:.3f}  "
                f"val {100 * progress.val_accuracy:5.2f} %  {progress.epoch.seconds:.0f} s, "
                f"{epochs_left.left:.0f} s left"
            )

        net = run.train(output, report, on_skipped=name_skipped)
    typer.echo(f"{net}")
