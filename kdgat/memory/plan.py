"""The largest byte budget for which the planned epochs fit on a GPU, found without one.

The budget bounds the bytes that a batch's step has in use at its peak. What the allocator reserves
is more, and depends on the batches' order; so budgets are bisected, and for each the very batches
that it makes are replayed through the simulated allocator at the GPU's capacity.
"""

from __future__ import annotations

import numpy as np

from kdgat.configs.resources import Gpu
from kdgat.configs.training import TrainingConfig
from kdgat.data.packing import (
    UNLIMITED,
    BatchLimits,
    ByteLimit,
    EpochBatches,
    epoch_order,
    plan_epoch,
)
from kdgat.errors import ConfigError, DataError, MemoryPlanError
from kdgat.memory.affine import Shape
from kdgat.memory.planned import Device, MemoryPlan, Spread, Workload
from kdgat.memory.replay import PlannedBatch, Replay, replay
from kdgat.memory.spec import StepPrograms

_SEARCH_BATCHES = 60
_VERIFY_BATCHES = 500
_RESUMED_BATCHES = 100
"""Batches replayed from each of some later epochs, where a resumed run begins anew."""
_RESUMES = 3
_SLOW_RETRIES = 0.01
"""Retries a batch from which on the allocator is too busy with itself."""
_SLACK = 0.01
"""Share taken off a budget that just fits, since one a little smaller need not."""
_PRECISION = 0.002
"""Share of the capacity at which bisection stops."""
_LIKELY = (0.90, 0.98)
_FEW_STEPS = 50


def plan_memory(
    programs: StepPrograms, work: Workload, device: Device, config: TrainingConfig, seed: int
) -> MemoryPlan:
    """Find the byte budget, and foresee what the run's batches take.

    Raises:
        ConfigError: the margin is not a share, or the GPU can't compute in that precision.
        DataError: there is no graph to train on.
        MemoryPlanError: the device is too small for the weights, or for one graph.
    """
    _check(work, device)
    planner = _Planner(programs, work, device, config, seed)
    return planner.verified(*planner.budget())


class _Planner:
    """One plan in the making."""

    def __init__(
        self,
        programs: StepPrograms,
        work: Workload,
        device: Device,
        config: TrainingConfig,
        seed: int,
    ) -> None:
        self.programs = programs
        self.work = work
        self.device = device
        self.config = config
        self.seed = seed
        self.train_cost = programs.training_cost()
        self.validation_cost = programs.validation_cost()
        # DDP keeps a copy of the gradients in buckets that it sends.
        buckets = (sum(programs.gradient_blocks),) if device.ranks > 1 else ()
        self.other_blocks = (*work.store_blocks, *device.workspace_blocks, *buckets)
        self.most = device.capacity_bytes - sum(self.other_blocks)

    def limits(self, budget_bytes: int) -> BatchLimits:
        """What a budget means for training and for validation."""
        return BatchLimits(
            train=ByteLimit(self.train_cost, budget_bytes),
            validation=ByteLimit(self.validation_cost, budget_bytes),
        )

    def budget(self) -> tuple[int, str]:
        """The largest budget that fits, and what limits the batches."""
        self._need_room()
        limits = self.limits(self.most)
        epoch = self.epoch(self.fullest, limits)
        reaches = self._costs(epoch).max() > self.most - self._largest_graph()
        if not reaches and _good(self.simulate(limits, _SEARCH_BATCHES)):
            return self.most, self._limit_name(epoch)
        low, high = self._smallest(), self.most
        # What the allocator loses to rounding and gaps is a few percent, so these come first.
        likely = [int(self.most * share) for share in _LIKELY]
        while high - low > _PRECISION * self.most:
            tried = likely.pop() if likely else (low + high) // 2
            if not low < tried < high:
                continue
            if _good(self.simulate(self.limits(tried), _SEARCH_BATCHES)):
                low = tried
            else:
                high = tried
        return low, self._limit_name(self.epoch(self.fullest, self.limits(low)))

    def verified(self, budget: int, limited_by: str) -> MemoryPlan:
        """The plan of a budget found by the search, lowered until the whole sequence fits."""
        on_gpu = self.device.gpu.compute_capability is not None
        if on_gpu and budget < self.most:
            budget = int(budget * (1 - _SLACK))
        smallest = self._smallest()
        while True:
            budget = max(budget, smallest)
            limits = self.limits(budget)
            outcome = self._verify(limits)
            if _good(outcome):
                return self.result(budget, limited_by, limits, outcome)
            if budget == smallest:
                raise self._too_small()
            budget = int(budget * (1 - _SLACK))

    def _verify(self, limits: BatchLimits) -> Replay:
        """Replay the run from its start, and from later epochs as a resumed run would."""
        parts = (self.config.max_epochs * part // (_RESUMES + 1) for part in range(1, _RESUMES + 1))
        resumed = [
            self.simulate(limits, _RESUMED_BATCHES, first_epoch=number)
            for number in sorted({*parts, self.fullest} - {0})
        ]
        return _worst([self.simulate(limits, _VERIFY_BATCHES), *resumed])

    @property
    def fullest(self) -> int:
        """An epoch that takes as many graphs as any other."""
        curriculum = self.work.curriculum
        last = self.config.max_epochs - 1
        return 0 if curriculum is None else min(curriculum.epochs, last)

    def epoch(self, number: int, limits: BatchLimits) -> EpochBatches:
        """The training batches of an epoch, of all ranks."""
        work, config = self.work, self.config
        chosen = None if work.curriculum is None else work.curriculum.chosen(number)
        return plan_epoch(
            work.train_nodes,
            work.train_edges,
            epoch_order(self.seed, number, len(work.train_nodes), chosen),
            limit=limits.train,
            max_graphs=config.max_graphs,
            min_steps=config.min_steps_per_epoch,
            ranks=self.device.ranks,
        )

    def simulate(self, limits: BatchLimits, count: int, first_epoch: int = 0) -> Replay:
        """Replay `count` of the run's batches on every rank, validation after every epoch."""
        sequences: list[list[PlannedBatch]] = [[] for _ in range(self.device.ranks)]
        work, config = self.work, self.config
        checks = plan_epoch(
            work.validation_nodes,
            work.validation_edges,
            np.arange(len(work.validation_nodes)),
            limit=limits.validation,
            max_graphs=config.max_graphs,
            ranks=self.device.ranks,
        )
        for number in range(first_epoch, config.max_epochs):
            epoch = self.epoch(number, limits)
            for rank, batches in enumerate(sequences):
                training = self._planned(epoch, rank, training=True)
                validation = self._planned(checks, rank, training=False)
                batches += training[:count] + validation[: max(1, count // 4)]
            if len(sequences[0]) >= count:
                break
        return _worst([self._replayed(batches) for batches in sequences])

    def _planned(self, epoch: EpochBatches, rank: int, *, training: bool) -> list[PlannedBatch]:
        """One rank's batches."""
        work = self.work
        nodes = work.train_nodes if training else work.validation_nodes
        edges = work.train_edges if training else work.validation_edges
        columns = (epoch.sums(nodes), epoch.sums(edges), np.diff(epoch.starts))
        rows = zip(*(each[rank :: self.device.ranks].tolist() for each in columns), strict=True)
        return [PlannedBatch(Shape(*row), training) for row in rows]

    def _replayed(self, batches: list[PlannedBatch]) -> Replay:
        if self.device.gpu.compute_capability is None:
            return self._on_host(batches)
        return replay(
            self.programs,
            batches,
            self.device.capacity_bytes,
            other_blocks=self.other_blocks,
            expandable_segments=self.device.expandable_segments,
        )

    def result(
        self, budget: int, limited_by: str, limits: BatchLimits, outcome: Replay
    ) -> MemoryPlan:
        """The plan of a budget that fits."""
        epoch = self.epoch(self.fullest, limits)
        graphs = np.diff(epoch.starts)
        steps = len(epoch) // self.device.ranks
        warnings = []
        if steps < _FEW_STEPS:
            told = "1 step" if steps == 1 else f"{steps} steps"
            warnings.append(
                f"{told} an epoch: raise training.min_steps_per_epoch, or lower "
                "training.max_graphs, for more"
            )
        if self.config.precision not in self.device.gpu.precisions:
            warnings.append(
                f"{self.device.gpu.title} does not compute in {self.config.precision} natively: "
                f"training.precision={_other_precision(self.device.gpu)} is faster there"
            )
        if outcome.retries:
            # Expandable segments lose less to gaps between blocks of varying size.
            remedy = "" if self.device.expandable_segments else ", or with expandable segments"
            warnings.append(
                f"the allocator has to give back its cache in {outcome.batches} batches (times: "
                f"{outcome.retries}), which is slow: plan with more margin{remedy}"
            )
        capacity = self.device.capacity_bytes
        return MemoryPlan(
            gpu=self.device.gpu.name,
            capacity_bytes=capacity,
            budget_bytes=budget,
            limited_by=limited_by,
            steps_per_epoch=steps,
            graphs_per_batch=Spread(int(graphs.min()), int(np.median(graphs)), int(graphs.max())),
            largest=self._largest_batch(epoch),
            peak_allocated_bytes=outcome.peak_allocated_bytes,
            peak_reserved_bytes=outcome.peak_reserved_bytes,
            headroom_bytes=capacity - outcome.peak_allocated_bytes,
            fill=float(self._costs(epoch).mean() / budget),
            resident_bytes=self.programs.resident_bytes + sum(self.other_blocks),
            replayed_batches=outcome.batches,
            retries=outcome.retries,
            warnings=tuple(warnings),
            limits=limits,
        )

    def _need_room(self) -> None:
        if self._smallest() > self.most:
            raise self._too_small()

    def _too_small(self) -> MemoryPlanError:
        nodes, edges = self.work.train_nodes, self.work.train_edges
        cost = self.train_cost.rising().peak_bytes(nodes, edges, 1)
        worst = int(cost.argmax())
        return MemoryPlanError(
            f"a single graph ({nodes[worst]} nodes, {edges[worst]} edges) needs "
            f"{_gib(cost[worst])} with the weights, and {self.device.gpu.title} has "
            f"{_gib(max(self.most, 0))} for it",
            hint="take a larger GPU, a smaller model, or lower data.window_messages",
        )

    def _smallest(self) -> int:
        """The budget below which some graph can't be in any batch."""
        work = self.work
        train = self.train_cost.rising().peak_bytes(work.train_nodes, work.train_edges, 1).max()
        check = self.validation_cost.rising().peak_bytes(
            work.validation_nodes, work.validation_edges, 1
        )
        return int(max(train, check.max()))

    def _largest_graph(self) -> int:
        """Bytes that the largest graph adds to a batch."""
        work = self.work
        slopes = self.train_cost.rising().planes[:, :3]
        counts = np.array([work.train_nodes.max(), work.train_edges.max(), 1])
        return int((slopes @ counts).max())

    def _largest_batch(self, epoch: EpochBatches) -> Shape:
        nodes, edges = epoch.sums(self.work.train_nodes), epoch.sums(self.work.train_edges)
        worst = int(self._costs(epoch).argmax())
        return Shape(int(nodes[worst]), int(edges[worst]), int(np.diff(epoch.starts)[worst]))

    def _costs(self, epoch: EpochBatches) -> np.ndarray:
        nodes, edges = epoch.sums(self.work.train_nodes), epoch.sums(self.work.train_edges)
        return self.train_cost.peak_bytes(nodes, edges, np.diff(epoch.starts))

    def _limit_name(self, epoch: EpochBatches) -> str:
        """What keeps training batches from being larger; validation may be limited otherwise."""
        if len(epoch) > len(self.epoch(self.fullest, UNLIMITED)):
            return "memory"
        most = int(np.diff(epoch.starts).max())
        if most >= max(1, self.config.max_graphs // self.device.ranks):
            return "training.max_graphs"
        whole = most == len(epoch.order)
        return "the number of graphs" if whole else "training.min_steps_per_epoch"

    def _on_host(self, batches: list[PlannedBatch]) -> Replay:
        """A host's allocator keeps nothing back, so what is in use is what it takes."""
        other = sum(self.other_blocks)
        peak = other
        for batch in batches:
            cost = self.train_cost if batch.training else self.validation_cost
            shape = batch.shape
            peak = max(peak, other + int(cost.peak_bytes(shape.nodes, shape.edges, shape.graphs)))
        capacity = self.device.capacity_bytes
        failure = None if peak <= capacity else f"{peak:,} bytes of {capacity:,}"
        return Replay(len(batches), peak, peak, 0, failure)


def _good(outcome: Replay) -> bool:
    """Whether everything fits, and the allocator does not give back its cache all the time."""
    return outcome.failure is None and outcome.retries <= 1 + _SLOW_RETRIES * outcome.batches


def _worst(outcomes: list[Replay]) -> Replay:
    """Several replays as one: the highest peaks, all retries, the first failure."""
    return Replay(
        sum(each.batches for each in outcomes),
        max(each.peak_allocated_bytes for each in outcomes),
        max(each.peak_reserved_bytes for each in outcomes),
        sum(each.retries for each in outcomes),
        next((each.failure for each in outcomes if each.failure is not None), None),
    )


def _check(work: Workload, device: Device) -> None:
    if not 0 <= device.margin < 1:
        raise ConfigError(
            f"margin is {device.margin:g}, and must be a share of the memory from 0 to below 1",
            hint="set resources.memory_margin_share=0.02 for two percent",
        )
    if len(work.train_nodes) == 0 or len(work.validation_nodes) == 0:
        which = "training" if len(work.train_nodes) == 0 else "validation"
        raise DataError(
            f"there is no {which} graph to plan for",
            hint="ingest longer captures, or lower data.window_messages",
        )
    if device.capacity_bytes <= 0:
        raise MemoryPlanError(
            f"{device.gpu.title} has {_gib(device.total_bytes)}, of which the context takes "
            f"{_gib(device.context_bytes)} and the margin {device.margin:.0%}: nothing is left",
            hint="lower the margin, or give more memory",
        )


def _other_precision(gpu: Gpu) -> str:
    return next((each for each in ("fp16", "bf16") if each in gpu.precisions), "32")


def _gib(nbytes: float) -> str:
    return f"{nbytes / 2**30:.2f} GiB"
