"""One of the processes of test_training_ranks: trains, and prints what it holds as one line of JSON a run.

Usage: rank_worker.py DATA FOLDER, in the environment that torchrun makes.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from recipes import recipe

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.model import see_through
from ssgan_core.training.data import StoredPortraits
from ssgan_core.training.loop import train
from ssgan_core.training.ranks import PeerFailed, joined
from ssgan_core.training.state import TrainingState

CONFIG = recipe(
    {"mode": "adaptive", "probability": 0.3, "kimg": 0.1},
    {"see_through": True},
    batch=8,
    kimg=0.032,
    tick_kimg=0.016,
    snapshot_kimg=1.0,
    truth_kimg=10.0,
    critic_weight=0.1,
)


class Recording(StoredPortraits):
    """Remembers which examples were shown; may break off."""

    recorded: list
    lasting = 1_000

    def batches(self, config, start, stop):
        self.recorded = []
        for batch in super().batches(config, start, stop):
            if len(self.recorded) == self.lasting:
                raise SsganError("this rank's data broke off", "mend it")
            self.recorded.append(
                [[int(i), bool(m)] for i, m in zip(batch.indices, batch.mirrored, strict=True)]
            )
            yield batch


def main(data: str, folder: Path) -> None:
    states = []
    create = TrainingState.create
    TrainingState.create = lambda *arguments: states.append(create(*arguments)) or states[-1]
    with joined() as ranks:
        if ranks.rank == 1:
            # As if its heads wore no glasses: it learns nothing of lenses, which the other does.
            see_through._LEAST_SHARE = 2.0
        source = Recording(PortraitDataset.open(Path(data)), ranks=ranks)

        def run(name: str, stop_after: int = 1_000) -> None:
            stop = lambda: ranks.rank == 1 and len(source.recorded) >= stop_after  # noqa: E731
            result = train(
                source, CONFIG, folder / name, device=torch.device("cpu"), ranks=ranks, should_stop=stop
            )
            print(json.dumps({
                "images": result.images, "finished": result.finished, "shown": source.recorded,
                "digest": digest(states[-1]), "probability": states[-1].adaptation.probability,
            }), flush=True)  # fmt: skip

        run("straight")
        run("stopped", stop_after=2)
        run("stopped")
        if ranks.rank == 1:
            source.lasting = 2
        run("broken")


def digest(state: TrainingState) -> str:
    """Of weights, buffers and moments."""
    sums = hashlib.sha256()
    moments = [
        value
        for optimiser in (state.generator_optimiser, state.discriminator_optimiser, state.critic_optimiser)
        for moment in optimiser.state_dict()["state"].values()
        for value in moment.values()
    ]
    for tensor in [*state.tensors(), *moments]:
        sums.update(tensor.contiguous().numpy().tobytes())
    return sums.hexdigest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except (SsganError, PeerFailed) as error:
        # Gloo's threads abort a process, now and then, at whose end they run.
        assert not dist.is_initialized() or torch.cuda.is_available(), "the failed rank is still in the group"
        sys.exit(1 if isinstance(error, PeerFailed) else f"error: {error}")
