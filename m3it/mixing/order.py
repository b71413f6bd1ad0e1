"""The order of a mixture: which row stands at position p of one endless sequence. Arithmetic alone; no file is read.

1. A dataset's rows come in passes, each in another order: every row once before any comes again (`Series`).
2. An epoch is as many positions as the mixture has rows. Each dataset has a quota of them: with weights by size, its
   own number of rows.
3. Positions are dealt to 64 lanes in turns of `batch_size`: position p belongs to lane (p // batch_size) mod 64. Who
   reads batch k needs one lane only.
4. The quotas of an epoch are dealt to the lanes, exactly: a lane takes one stretch of each dataset's numbers.
5. A stretch is cut into chunks: single rows where rows can be read in any order, else the part of it that lies in one
   unit (row group, piece).
6. Each chunk gets a time in the lane's epoch: a dataset's chunks lie evenly over it, each at a random place of its own
   span. The lane's chunks are sorted by time.
7. Consecutive chunks make a window (about 1,024 rows or 32 MiB that are held in memory), whose rows are shuffled. Where
   rows share pictures, those about the same ones follow each other: of rows that can be read in any order they are a
   unit, and a window by themselves; in a larger unit they stand together, and a window is shuffled in runs of 16 rows.
Every step depends on seed, sizes and quotas only: not on ranks, workers, or what was read before. So a position is
found at once, by whoever needs it, and a row that cannot be read leaves its place empty without moving any other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LANES = 64
WINDOW_ROWS = 1024
WINDOW_BYTES = 32 << 20  # of a lane; a process that reads all of them holds 64 windows, half spent on average
LOW_64 = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """64 well-mixed bits that depend on some integers: splitmix64, the numbers fed in one after the other."""
    bits = 0
    for number in numbers:
        bits = (bits + 0x9E3779B97F4A7C15 + number) & LOW_64
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & LOW_64
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & LOW_64
        bits ^= bits >> 31
    return bits


def noise(keys: int | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) for each number, from it and its key (uint64, one for all or one each) by the same splitmix64:
    no version of NumPy changes it."""
    many = np.uint64(keys & LOW_64) if isinstance(keys, int) else keys
    with np.errstate(over="ignore"):
        bits = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + many
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / (1 << 53)


def permuted(number: int, count: int, key: int) -> int:
    """Where `number` goes in a permutation of range(count): a Feistel network over the next power of four, walked until
    it lands inside. Fewer than six rounds favour some orders of few rows."""
    half = max(3, ((count - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:
        left, right = number >> half, number & low
        for turn in range(6):  # by `mix` of one number, written out: half of the time goes into calling it
            bits = (key + (right << 3 | turn) + 0x9E3779B97F4A7C15) & LOW_64
            bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & LOW_64
            bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & LOW_64
            left, right = right, left ^ ((bits ^ (bits >> 31)) & low)
        number = left << half | right
        if number < count:
            return number


def permuted_runs(number: int, count: int, run: int, key: int) -> int:
    """The same of a permutation that keeps runs of `run` numbers together; what remains after the last whole one stays
    last."""
    place, rest = divmod(number, run)
    return number if place >= count // run else permuted(place, count // run, key) * run + rest


def allot(total: int, shares: np.ndarray) -> np.ndarray:
    """Integers in proportion to integer shares, adding up to `total`: rounded down, the largest remainders one more."""
    parts, remainders = np.divmod(shares.astype(np.int64) * total, int(shares.sum()))
    parts[np.argsort(-remainders, kind="stable")[: total - int(parts.sum())]] += 1
    return parts


class Series:
    """The rows of one dataset in an endless order. `sizes`: the rows of its units; None if each row can be read alone.

    Sizes may be estimates: a unit gets as many turns in a pass as its size says, and goes on through its true rows
    from pass to pass. `together`: the rows of a unit follow each other.
    """

    def __init__(
        self, key: int, num_rows: int, sizes: np.ndarray | None = None, row_bytes: int = 0, together: bool = False
    ):
        self.key, self.num_rows, self.sizes, self.row_bytes = key, num_rows, sizes, row_bytes
        self.together = together
        self._pass: tuple[int, np.ndarray, np.ndarray] = (-1, np.array([]), np.array([]))

    @property
    def num_units(self) -> int:
        return self.num_rows if self.sizes is None else len(self.sizes)

    def find(self, number: int) -> tuple[int, int]:
        """(row, pass), or (unit, turn) where rows come in units."""
        in_pass, number = divmod(number, self.num_rows)
        if self.sizes is None:
            return permuted(number, self.num_rows, mix(self.key, in_pass)), in_pass
        units, ends = self._units(in_pass)
        at = int(ends.searchsorted(number, "right"))
        size = int(self.sizes[units[at]])
        return int(units[at]), in_pass * size + number - (int(ends[at]) - size)

    def picks(self, unit: int, turns: range, num_rows: int, pictures: np.ndarray | None = None) -> list[int]:
        """Which of a unit's true rows have their turns: all of them once before any again. With a number for what each
        row shows, `pictures` (num_rows,) int64, those about the same follow each other."""
        picked, in_round, shown = [], -1, np.array([])
        for turn in turns:
            if in_round != turn // num_rows:
                in_round = turn // num_rows
                key = mix(self.key, unit, in_round)
                shown = np.array([]) if pictures is None else np.argsort(noise(key, pictures), kind="stable")
            place = turn % num_rows
            picked.append(permuted(place, num_rows, key) if pictures is None else int(shown[place]))
        return picked

    def edges(self, start: int, stop: int) -> np.ndarray:
        """The numbers from start to stop at which chunks begin, and stop."""
        if self.sizes is None:
            return np.arange(start, stop + 1)
        ends = [
            self._units(n)[1] + n * self.num_rows
            for n in range(start // self.num_rows, (stop - 1) // self.num_rows + 1)
        ]
        inner = np.concatenate(ends)
        return np.concatenate([[start], inner[(inner > start) & (inner < stop)], [stop]])

    def _units(self, in_pass: int) -> tuple[np.ndarray, np.ndarray]:
        """The units in the order of a pass, and the row count at the end of each."""
        assert self.sizes is not None
        if self._pass[0] != in_pass:
            units = np.argsort(noise(mix(self.key, in_pass), np.arange(len(self.sizes))), kind="stable")
            self._pass = (in_pass, units, np.cumsum(self.sizes[units]))
        return self._pass[1:]


class Place(NamedTuple):
    """What stands at a position: the number-th row of a series; the chunk of numbers around it, and the window for
    which a lane holds them."""

    series: int
    number: int
    chunk: range
    lane: int
    window: tuple[int, int]


class Chunks(NamedTuple):
    """Chunks of a lane, sorted by time: of each its series, and the first of its numbers after the lane's first; how
    many of the lane's rows come before each, and before what follows the last."""

    which: np.ndarray
    starts: np.ndarray
    rows: np.ndarray


class LaneEpoch:
    """One lane in one epoch: its chunks sorted by time, cut into windows. Where all of them are single rows, those of a
    window are found when it is asked for, since there may be ten millions."""

    def __init__(self, order: "Order", epoch: int, lane: int):
        self.epoch, self.lane, self.key, self.run = epoch, lane, mix(order.seed, epoch, lane, 1), order.run
        self.counts, self.firsts = order.table(epoch)[:, lane], order.firsts(epoch, lane)
        self.keys = np.array([mix(order.seed, i, epoch, lane) for i in range(len(order.series))], np.uint64)
        series = [order.series[i] for i in np.flatnonzero(self.counts)]
        self._held: tuple[int, Chunks | None] = (-1, None)  # those of the window asked for last
        self._all: Chunks | None = None
        if all(one.sizes is None and not one.row_bytes for one in series):
            num_rows = int(self.counts.sum())
            self.windows = np.append(np.arange(0, num_rows, WINDOW_ROWS), num_rows)
        else:
            self._all = self._sort_all(order.series)

    def _sort_all(self, all_series: Sequence[Series]) -> Chunks:
        """All chunks, and where windows begin."""
        which, starts, lengths, times, costs, alone = [], [], [], [], [], []
        for i in np.flatnonzero(self.counts).tolist():
            series, first, count = all_series[i], int(self.firsts[i]), int(self.counts[i])
            edges = series.edges(first, first + count) - first
            length = np.diff(edges)
            which.append(np.full(len(length), i, np.int32))
            starts.append(edges[:-1].astype(np.int32))
            lengths.append(length)
            times.append((edges[:-1] + noise(self.keys[i], np.arange(len(length))) * length) / count)
            costs.append(length * (1 / WINDOW_ROWS + series.row_bytes / WINDOW_BYTES))
            alone.append(np.full(len(length), series.together))
        at = np.argsort(np.concatenate(times), kind="stable")
        cost = np.concatenate(costs)[at]
        rows = np.append(0, np.cumsum(np.concatenate(lengths)[at]))
        window = (np.cumsum(cost) - cost).astype(np.int64)
        own = np.concatenate(alone)[at]
        begins = np.flatnonzero((np.diff(window, prepend=-1) != 0) | own | np.append(False, own[:-1]))
        self.windows = np.append(rows[begins], rows[-1])
        return Chunks(np.concatenate(which)[at], np.concatenate(starts)[at], rows.astype(np.int32))

    def _sort_singles(self, window: int) -> Chunks:
        """The chunks of a window. Each row lies in its own span of the time, so that of the first n of a lane's rows
        each series has its share, give or take one: few are sorted, from well before the window to well after it."""
        first, stop, num_rows = int(self.windows[window]), int(self.windows[window + 1]), int(self.windows[-1])
        margin = 2 * len(self.counts)
        low = max(first - margin, 0) * self.counts // num_rows
        high = np.minimum((stop + margin) * self.counts // num_rows + 1, self.counts)
        which = np.repeat(np.arange(len(low)), high - low)
        starts = np.arange(len(which)) + np.repeat(high - np.cumsum(high - low), high - low)
        times = (starts + noise(self.keys[which], starts)) / self.counts[which]
        at = np.argsort(times, kind="stable")[first - int(low.sum()) : stop - int(low.sum())]
        return Chunks(which[at], starts[at], np.arange(first, stop + 1))

    def place(self, at: int) -> Place:
        """What stands at the lane's at-th position of the epoch."""
        window = int(self.windows.searchsorted(at, "right")) - 1
        first, stop = int(self.windows[window]), int(self.windows[window + 1])
        row = first + permuted_runs(at - first, stop - first, self.run, mix(self.key, window))
        if (chunks := self._all) is None:
            if self._held[0] != window:
                self._held = (window, self._sort_singles(window))
            chunks = self._held[1]
        assert chunks is not None
        chunk = int(chunks.rows.searchsorted(row, "right")) - 1
        begin, series = int(chunks.rows[chunk]), int(chunks.which[chunk])
        start = int(self.firsts[series]) + int(chunks.starts[chunk])
        numbers = range(start, start + int(chunks.rows[chunk + 1]) - begin)
        return Place(series, start + row - begin, numbers, self.lane, (self.epoch, window))


class Order:
    """The endless sequence: series with their quotas per epoch, dealt to lanes in turns of `batch_size`. `run`: as many
    rows of a window stay together when it is shuffled."""

    def __init__(
        self,
        series: Sequence[Series],
        quotas: Sequence[int] | np.ndarray,
        batch_size: int,
        seed: int = 0,
        run: int = 1,
    ):
        self.series, self.quotas = list(series), np.array(quotas, np.int64)
        self.batch_size, self.seed, self.run = batch_size, seed, run
        self.num_rows = int(self.quotas.sum())  # of an epoch
        self._lane_epochs: dict[int, LaneEpoch] = {}
        self._tables: dict[int, np.ndarray] = {}

    def lane(self, position: int) -> int:
        return position // self.batch_size % LANES

    def before(self, position: int, lane: int) -> int:
        """How many of the positions below `position` belong to a lane."""
        rounds, rest = divmod(position, LANES * self.batch_size)
        return rounds * self.batch_size + min(max(rest - lane * self.batch_size, 0), self.batch_size)

    def table(self, epoch: int) -> np.ndarray:
        """(series, LANES) how many rows each lane takes of each series, adding up to the quotas and to the lanes.

        A series of few units goes to as many lanes, those with most room, so that a unit is not read by all of them.
        """
        if epoch in self._tables:
            return self._tables[epoch]
        first, last = epoch * self.num_rows, (epoch + 1) * self.num_rows
        room = np.array([self.before(last, lane) - self.before(first, lane) for lane in range(LANES)])
        table = np.zeros((len(self.series), LANES), np.int64)
        for i in sorted(range(len(self.series)), key=lambda i: (self.series[i].num_units, i)):
            lanes = np.lexsort((noise(mix(self.seed, i, epoch, 2), np.arange(LANES)), -room))
            enough = int(np.searchsorted(np.cumsum(room[lanes]), self.quotas[i])) + 1
            lanes = lanes[: max(enough, min(LANES, self.series[i].num_units))]
            table[i, lanes] = allot(int(self.quotas[i]), room[lanes])
            room = room - table[i]
        self._tables = {epoch: table, **dict(list(self._tables.items())[:1])}  # this one and the one before
        return table

    def firsts(self, epoch: int, lane: int) -> np.ndarray:
        """(series,) the number at which a lane begins in each series."""
        return epoch * self.quotas + self.table(epoch)[:, :lane].sum(1)

    def place(self, position: int) -> Place:
        """What stands at a position of the sequence."""
        epoch, lane = position // self.num_rows, self.lane(position)
        lane_epoch = self._lane_epochs.get(lane)
        if lane_epoch is None or lane_epoch.epoch != epoch:
            lane_epoch = self._lane_epochs[lane] = LaneEpoch(self, epoch, lane)
        return lane_epoch.place(self.before(position, lane) - self.before(epoch * self.num_rows, lane))

    def reads_per_epoch(self, series: int) -> float:
        """How often a unit is read in the first epoch: more than once where its rows go to several lanes."""
        one, reads = self.series[series], 0
        if one.sizes is None:
            return 0.0
        for lane, count in enumerate(self.table(0)[series].tolist()):
            first = int(self.firsts(0, lane)[series])
            reads += len(one.edges(first, first + count)) - 1 if count else 0
        return reads / one.num_units

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_lane_epochs": {}, "_tables": {}}  # quickly made anew; a worker needs few of them


def shuffle_quality(order: Sequence[int]) -> tuple[float, float]:
    """How far an order of range(n) is from file order: mean distance of a row from its place in the file, over n, and
    the share of neighbours that lie within n/100 of each other in the file. File order: (0, 1). A full shuffle:
    (1/3, 0.02)."""
    rows = np.asarray(order)
    distance = np.abs(rows - np.arange(len(rows))).mean() / len(rows)
    return float(distance), float((np.abs(np.diff(rows)) <= max(1, len(rows) // 100)).mean())
