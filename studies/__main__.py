"""`python -m studies NAME`: run one study and print its findings."""

import sys
from functools import reduce
from operator import or_
from typing import Annotated

import tyro

from studies import (
    fidelity,
    gpu,
    methods,
    pretrain,
    quickstart,
    reproduce,
    skew,
    speed,
    tables,
    transfer,
)
from studies.run import CellsFailedError

STUDIES = {
    "quickstart": (quickstart.Config, quickstart.run),
    "transfer": (transfer.Config, transfer.run),
    "methods": (methods.Config, methods.run),
    "skew": (skew.Config, skew.run),
    "reproduce": (reproduce.Config, reproduce.run),
    "speed": (speed.Config, speed.run),
    "fidelity": (fidelity.Config, fidelity.run),
    "gpu": (gpu.Config, gpu.run),
    "pretrain": (pretrain.Config, pretrain.run),
    "tables": (tables.Config, tables.run),
}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run the study; errors end in one line on stderr and status 1."""
    commands = [
        Annotated[config, tyro.conf.subcommand(name)] for name, (config, _) in STUDIES.items()
    ]
    config = tyro.cli(reduce(or_, commands), prog="python -m studies", args=arguments)
    study = next(run for kind, run in STUDIES.values() if kind is type(config))
    try:
        study(config)
    except (ValueError, OSError, CellsFailedError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
