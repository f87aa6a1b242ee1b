"""The same polynomial with fewer products: what costs an engine time, per atom and step, is one product after the other.

- A node that is a multiple of another is that other one with a factor.
- A node that only terms read, and only alone, is written out in the terms; so the last products of a tree need no node.
- Nodes that only terms read, each with the same partner, are one node: Σ_k w_k (y_k · z) = (Σ_k w_k y_k) · z.
- A product of sums of moments is written out where that is no longer: contractions of a tensor with itself are, by orthogonality.
- Equal products of a node are one, and what no term needs is left out.
"""

from dataclasses import replace

import numpy as np

from metalff.poly.program import Program

WRITTEN_MOST = 2_000_000
"""Products of moments that a sum is written out into before equal ones are one."""

NOTHING = 1e-12
"""Factors below this part of the largest one of a sum are round-off of zeros."""


def reduce(program: Program) -> Program:
    """A program of the same energies, of one density or several."""
    work = _Work(program)
    before = None
    while before != (size := work.size()):
        before = size
        work.alias()
        work.fold()
        work.write_out()
        work.join()
        work.prune()
    return work.program()


class _Work:
    """A program as sums by node: {(a, b): factor} with a ≥ b, b = -1 for a alone; and terms {(a, b): weights [P]}."""

    def __init__(self, program: Program):
        self.source, self.moments = program, program.moments
        self.sums: dict[int, dict] = {}
        for (a, b, out), factor in zip(program.products.tolist(), program.factors.tolist(), strict=True):
            _add(self.sums.setdefault(out, {}), a, b, factor)
        self.terms: dict[tuple[int, int], np.ndarray] = {}
        for (a, b), weights in zip(program.terms.tolist(), program.weights, strict=True):
            _add(self.terms, a, b, weights)
        for node in {node for sums in (*self.sums.values(), self.terms) for pair in sums for node in pair}:
            if node >= self.moments:  # what nothing is added to is zero
                self.sums.setdefault(node, {})

    def size(self) -> tuple[int, int]:
        return sum(map(len, self.sums.values())), len(self.terms)

    def alias(self) -> None:
        """Multiples of a node."""
        same: dict[int, tuple[int, float]] = {}

        def seen(sums: dict) -> dict:
            result: dict = {}
            for (a, b), factor in sums.items():
                (a, one), (b, other) = same.get(a, (a, 1.0)), same.get(b, (b, 1.0))
                _add(result, a, b, factor * (one * other))
            return result

        for node in self._ordered():
            sums = self.sums[node] = seen(self.sums[node])
            if len(sums) == 1 and (only := next(iter(sums)))[1] == -1:
                same[node] = only[0], sums[only]
        self.terms = seen(self.terms)
        for node in same:
            del self.sums[node]

    def fold(self) -> None:
        """Nodes that only terms read, alone."""
        inner = {node for sums in self.sums.values() for pair in sums for node in pair}
        inner |= {node for a, b in self.terms if b >= 0 for node in (a, b)}
        for a, b in [pair for pair in self.terms if pair[1] < 0]:
            if a in self.sums and a not in inner:
                weights = self.terms.pop((a, b))
                for (c, d), factor in self.sums.pop(a).items():
                    _add(self.terms, c, d, weights * factor)

    def join(self) -> None:
        """Nodes that only terms read, with one partner each."""
        if self.source.weights.shape[1] != 1:
            return
        inner = {node for sums in self.sums.values() for pair in sums for node in pair}
        partners: dict[int, set] = {}
        for a, b in self.terms:
            partners.setdefault(a, set()).add(b)
            partners.setdefault(b, set()).add(a)
        groups: dict[int, list] = {}
        taken: set[int] = set()
        for node in sorted(self.sums, reverse=True):
            if node not in inner and len(partners.get(node, ())) == 1:
                partner = next(iter(partners[node]))
                if partner >= 0 and partner != node and partner not in taken and node not in groups:
                    groups.setdefault(partner, []).append(node)
                    taken.add(node)
        for partner, nodes in groups.items():
            if len(nodes) < 2:
                continue
            merged: dict = {}
            for node in nodes:
                weight = float(self.terms.pop(_pair(node, partner))[0])
                for (a, b), factor in self.sums.pop(node).items():
                    _add(merged, a, b, weight * factor)
            self.sums[max(nodes)] = merged
            self.terms[_pair(max(nodes), partner)] = np.ones(1)

    def write_out(self) -> None:
        """Products of sums of moments."""
        linear: dict[int, dict] = {}

        def parts(node: int) -> dict | None:
            """Moments and factors of a node that is a sum of them."""
            if node < self.moments:
                return {node: 1.0}
            if node not in linear and all(b < 0 for _, b in self.sums[node]):
                total: dict = {}
                for (a, _), factor in self.sums[node].items():
                    if (inner := parts(a)) is None:
                        break
                    for moment, one in inner.items():
                        total[moment] = total.get(moment, 0.0) + factor * one
                else:
                    linear[node] = total
            return linear.get(node)

        def shorter(sums: dict) -> dict:
            """The sum with its products of linear nodes written out, if it is no longer for it."""
            written, kept, size = {}, {}, 0
            for (a, b), factor in sums.items():
                left, right = parts(a), parts(b) if b >= 0 else None
                if left is None or right is None:
                    kept[a, b] = factor
                    continue
                if (size := size + len(left) * len(right)) > WRITTEN_MOST:
                    return sums
                for c, one in left.items():
                    for d, other in right.items():
                        _add(written, c, d, factor * (one * other))
            if not written:
                return sums
            most = max(np.abs(factor).max() for factor in written.values())
            written = {pair: factor for pair, factor in written.items() if np.abs(factor).max() > NOTHING * most}
            for pair, factor in kept.items():
                _add(written, *pair, factor)
            return written if len(written) <= len(sums) else sums

        self.terms = shorter(self.terms)
        for node in list(self.sums):
            if parts(node) is None:
                self.sums[node] = shorter(self.sums[node])

    def prune(self) -> None:
        """What no term needs, and nodes that are zero."""
        self.terms = {pair: weights for pair, weights in self.terms.items() if np.any(weights)}
        zero: set[int] = set()
        for node in self._ordered():
            self.sums[node] = {pair: f for pair, f in self.sums[node].items() if f and zero.isdisjoint(pair)}
            if not self.sums[node]:
                zero.add(node)
        self.terms = {pair: weights for pair, weights in self.terms.items() if zero.isdisjoint(pair)}
        needed, waiting = set(), [node for pair in self.terms for node in pair]
        while waiting:
            if (node := waiting.pop()) in self.sums and node not in needed:
                needed.add(node)
                waiting += [part for pair in self.sums[node] for part in pair]
        self.sums = {node: sums for node, sums in self.sums.items() if node in needed}

    def program(self) -> Program:
        place = {-1: -1} | {node: node for node in range(self.moments)}
        for node in self._ordered():
            place[node] = len(place) - 1
        products = [(place[a], place[b], place[out], f) for out in place if out in self.sums for (a, b), f in sorted(self.sums[out].items())]
        terms = sorted(((place[a], place[b]), weights) for (a, b), weights in self.terms.items())
        return replace(
            self.source,
            products=np.array([row[:3] for row in products], int).reshape(-1, 3),
            factors=np.array([row[3] for row in products]),
            terms=np.array([pair for pair, _ in terms], int).reshape(-1, 2),
            weights=np.array([weights for _, weights in terms]).reshape(-1, self.source.weights.shape[1]),
        )

    def _ordered(self) -> list[int]:
        """Nodes, each after those that it is made of."""
        depth: dict[int, int] = {}

        def of(node: int) -> int:
            if node not in self.sums:
                return 0
            if node not in depth:
                depth[node] = 1 + max((of(part) for pair in self.sums[node] for part in pair), default=0)
            return depth[node]

        return sorted(self.sums, key=lambda node: (of(node), node))


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a >= b else (b, a)


def _add(sums: dict, a: int, b: int, factor) -> None:
    pair = _pair(a, b)
    sums[pair] = sums[pair] + factor if pair in sums else factor
