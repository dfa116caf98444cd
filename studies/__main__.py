"""`python -m studies NAME`: run one study and print its findings."""

import sys
from functools import reduce
from operator import or_
from typing import Annotated

import tyro

from studies import gpu, methods, pretrain, quickstart, speed

STUDIES = {
    "pretrain": (pretrain.Config, pretrain.run),
    "quickstart": (quickstart.Config, quickstart.run),
    "methods": (methods.Config, methods.run),
    "speed": (speed.Config, speed.run),
    "gpu": (gpu.Config, gpu.run),
}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run the study; bad input ends in one line on stderr."""
    commands = [
        Annotated[config, tyro.conf.subcommand(name)] for name, (config, _) in STUDIES.items()
    ]
    config = tyro.cli(reduce(or_, commands), prog="python -m studies", args=arguments)
    study = next(run for kind, run in STUDIES.values() if kind is type(config))
    try:
        study(config)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
