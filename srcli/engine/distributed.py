"""Which process of how many this one is, and what the processes say to each other; (0, 1) outside torchrun.

Tensors of a step travel by DDP (nccl between CUDA devices, gloo elsewhere). Decisions travel by gloo between the hosts, so
that no rank waits for its device to hear them.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# Imported before there is a group: DDP imports it, and its default arguments would keep the group of that moment. The threads
# of gloo then outlive `destroy_process_group`, and one that drops a tensor while the interpreter ends aborts the process.
import torch.distributed.nn.functional
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store, _abort_process_group
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from srcli.engine.device import pick_device
from srcli.errors import UsageError, UserError, first_line

# A rank that dies is noticed at once; others are waited for this long: in training for rank 0's validation
PATIENCE, ENDLESS = timedelta(hours=6), timedelta(days=365)
_MEETING = timedelta(minutes=10)  # until all are there

_ALONE = "torchrun sets it right, and for one process: unset RANK and WORLD_SIZE"


class RankLost(UserError):
    """Another rank of the run failed, or can no longer be reached."""


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that work together: this one's `rank` of `world`, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this rank writes, validates and talks."""
        return self.rank == 0

    def network(self, model: nn.Module, *, whole: bool) -> nn.Module:
        """Return what to call for the output of `model`; with several ranks its gradients are the mean over all.

        `whole`: every parameter takes part in every output.
        """
        if self.world == 1:
            return model
        ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, find_unused_parameters=not whole)

    def alone(self, network: nn.Module) -> AbstractContextManager[None]:
        """Keep the gradients of a forward and backward pass to this rank, until one outside this block sums them up."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def told(self, *values: float) -> tuple[float, ...]:
        """Return the values rank 0 gave."""
        if self.world == 1:
            return values
        word = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(word, 0)
        return tuple(word.tolist())

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of `x` over the ranks."""
        if self.world > 1:
            dist.all_reduce(x)
            x /= self.world
        return x

    def given(self, item: Any) -> Any:
        """Return the object rank 0 gave."""
        if self.world == 1:
            return item
        box = [item]
        with noticing_loss():
            dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
        return box[0]

    def gathered(self, item: Any) -> list[Any]:
        """Return what every rank gave, in the order of the ranks."""
        items = [item] * self.world
        if self.world > 1:
            with noticing_loss():
                dist.all_gather_object(items, item)
        return items

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let every rank pass, or none: an error a user can mend in one of them ends all, and rank 0 tells it."""
        error: UserError | None = None
        try:
            yield
        except UserError as raised:
            error = raised
        if self.world == 1:
            if error:
                raise error
            return
        errors = self.gathered(str(error) if error else None)
        if error:
            error.told = not self.leads
            raise error
        if told := [f"rank {rank}: {text}" for rank, text in enumerate(errors) if text]:
            raise RankLost(told[0])


@contextmanager
def noticing_loss() -> Iterator[None]:
    """Turn what gloo and nccl raise when a peer is gone into RankLost."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection closed by peer" in str(error):
            raise RankLost("another rank of the run died") from error
        raise


def rank_and_world() -> tuple[int, int]:
    """Return this process' rank and how many there are, as torchrun set them; raise UsageError for what it would not set."""
    rank, world = _number("RANK", "0"), _number("WORLD_SIZE", "1")
    if world == 1:
        return 0, 1
    if rank >= world:
        raise UsageError(f"RANK={rank} and WORLD_SIZE={world} are set, and ranks count from 0; {_ALONE}")
    return rank, world


def _number(name: str, default: str) -> int:
    value = os.environ.get(name) or default
    if not value.isdecimal():
        raise UsageError(f"{name}={value} is set, which is no number; {_ALONE}")
    return int(value)


@contextmanager
def team(device: str, patience: timedelta = PATIENCE) -> Iterator[Team]:
    """Join the other ranks of a torchrun, each on a device of its own; alone outside it. Raises DeviceUnavailable.

    `patience`: how long this rank waits for another.
    """
    rank, world = rank_and_world()
    if world == 1:
        yield Team(0, 1, pick_device(device))
        return
    try:
        with _joined(device, patience, rank, world) as ranks:
            yield ranks
    except UserError as error:
        error.rank = rank
        error.told |= rank > 0 and isinstance(error, RankLost)
        raise


def _met() -> Store:
    """Return what the ranks find each other by, once all are there; raise UserError where they cannot meet."""
    try:
        store: Store = next(rendezvous("env://", timeout=_MEETING))[0]
    except (dist.DistError, ValueError) as error:
        address, port = (os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
        advice = "start them all, with the address of rank 0 and a port that is free there"
        raise UserError(
            f"the ranks do not meet at MASTER_ADDR={address} and MASTER_PORT={port}; {advice} ({first_line(error)})"
        ) from error
    return store


@contextmanager
def _joined(device: str, patience: timedelta, rank: int, world: int) -> Iterator[Team]:
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise UsageError(f"WORLD_SIZE={world} is set, but {missing[0]} is not; {_ALONE}")
    _number("MASTER_PORT", "")
    try:
        where = pick_device(device)
        if where.type == "cuda" and where.index is not None:
            raise UsageError(f"torchrun gives every rank its own device; use --device cuda, not '{device}'")
        if where.type not in ("cuda", "cpu"):
            raise UsageError(f"several ranks work on cpu or cuda, not on '{where}'")
    except UserError as error:  # the same on all ranks of a machine
        error.told = os.environ.get("LOCAL_RANK", "0") != "0"
        raise
    if where.type == "cuda":
        where = pick_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(where)
    store = _met()
    store.set_timeout(patience)
    backend = "cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=patience)
    try:
        yield Team(rank, world, where)
    except BaseException:
        # the end of nccl's groups waits for the peers, which may wait for this rank's part of a step: for ever
        (_abort_process_group if where.type == "cuda" else dist.destroy_process_group)()
        raise
    dist.destroy_process_group()
