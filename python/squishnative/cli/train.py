"""`squish train`."""

import time
from pathlib import Path
from typing import Annotated, Optional

import typer


def train(
    output: Annotated[
        Path, typer.Option("--output", "-o", show_default=False, help="Folder of the run.")
    ],
    data: Annotated[
        Optional[Path],
        typer.Option(
            show_default=False,
            help="Folder or tar file: train/<class>/<image>, val/<class>/<image>.",
        ),
    ] = None,
    init: Annotated[
        Optional[Path],
        typer.Option(
            show_default=False,
            help="Net to begin with: .pth, .safetensors, .onnx or .squish. [default: from scratch]",
        ),
    ] = None,
    teacher: Annotated[
        Optional[Path],
        typer.Option(show_default=False, help="Net whose logits are learnt too (distillation)."),
    ] = None,
    version: Annotated[str, typer.Option(help='SqueezeNet from scratch: "1.0" or "1.1".')] = "1.1",
    width: Annotated[float, typer.Option(help="Its channels, as a multiple.")] = 1.0,
    size: Annotated[int, typer.Option(min=32, help="Pixels of a side of the input.")] = 128,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch: Annotated[int, typer.Option(min=2, help="Images a step.")] = 64,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 0.02,
    mixup: Annotated[float, typer.Option(min=0, help="Alpha; 0 is off.")] = 0.0,
    crop: Annotated[
        float, typer.Option(min=0.01, max=1, help="Least share of an image that a crop shows.")
    ] = 0.35,
    mirror: Annotated[
        bool, typer.Option(help="Mirror images; not for letters, digits, signs.")
    ] = True,
    held_out: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of the training images left for `squish evolve` to judge on.",
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same net, on the same machine.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="PyTorch's; 0: its own choice.")] = 0,
    device: Annotated[str, typer.Option(help='PyTorch\'s: "cpu", "cuda".')] = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder; all else is ignored.")
    ] = False,
) -> None:
    """Trains a SqueezeNet on a folder of photographs.

    Leaves net.squish in the folder, with log.csv and a checkpoint after each epoch. A run that was
    killed continues with --resume to the same bits. Needs the extra [train].

    squish train --data photos --init squeezenet1_1.pth -o run
    squish train --resume -o run
    """
    import torch  # takes seconds

    from squishnative.train import run
    from squishnative.train.recipe import Recipe

    if threads:
        torch.set_num_threads(threads)
    if not resume:
        if data is None:
            raise typer.BadParameter("wanted: a folder or a tar file", param_hint="--data")
        recipe = Recipe(epochs=epochs, batch=batch, lr=lr, mixup=mixup, crop=crop, mirror=mirror)
        run.begin(
            output,
            run.Settings(
                str(data),
                init=None if init is None else str(init),
                teacher=None if teacher is None else str(teacher),
                version=version,
                width=width,
                size=size,
                held_out=held_out,
                seed=seed,
                device=device,
                recipe=recipe,
            ),
        )
    begin = time.monotonic()
    done_before: list[int] = []
    total = run.saved_settings(output).recipe.epochs

    def report(progress: run.Progress) -> None:
        number = progress.epoch.number
        done_before.append(number)
        left = (time.monotonic() - begin) / len(done_before) * (total - number)
        typer.echo(
            f"epoch {number:3} of {total}  loss {progress.epoch.loss:.3f}  "
            f"val {100 * progress.val_accuracy:5.2f} %  {progress.epoch.seconds:.0f} s, "
            f"{left:.0f} s left"
        )

    typer.echo(f"{run.train(output, report)}")
