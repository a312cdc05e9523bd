"""Networks told by the names and shapes of their tensors, without building one or importing torch."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Match(NamedTuple):
    """A network of the table, at the scales whose tensors are these."""

    arch: str
    scales: tuple[int, ...]


def signature(shapes: Mapping[str, Sequence[int]]) -> str:
    """Digest names and shapes; weights as trained with weight norm and folded ones have the same."""
    folded = {
        name.replace(".parametrizations.weight.original1", ".weight"): tuple(shape)
        for name, shape in shapes.items()
        if not name.endswith(".parametrizations.weight.original0")
    }
    text = "\n".join(f"{name} {'x'.join(map(str, folded[name]))}" for name in sorted(folded))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def match(shapes: Mapping[str, Sequence[int]]) -> Match | None:
    """Return the network whose own tensors have these names and shapes, None where it is none of the table's sizes."""
    return SIGNATURES.get(signature(shapes))


# tests/models/test_signatures.py prints the lines of networks that are new or have changed
SIGNATURES = {
    "40d41eb41c3a7252": Match("srcnn", (2, 3, 4)),
    "343775ece6a700a5": Match("fsrcnn", (2, 3, 4)),
    "55622762e8a950c9": Match("vdsr", (2, 3, 4)),
    "3f5b25cd5908145e": Match("carn", (2, 3, 4)),
    "66af0205e8251f64": Match("carn-m", (2, 3, 4)),
    "8a5cebd01c76f144": Match("idn", (2, 3, 4)),
    "b1113f65e0351ea7": Match("imdn", (2,)),
    "29d8065625589cd8": Match("imdn", (3,)),
    "e3287c4e2ae9b2be": Match("imdn", (4,)),
    "e6f5ac80bc529ff6": Match("imdn-baseline", (2,)),
    "754abeb7fd824988": Match("imdn-baseline", (3,)),
    "9680cb4c6d28ee0b": Match("imdn-baseline", (4,)),
    "8ccbca17742c813f": Match("pan", (2, 3)),
    "958f4d4777e00dda": Match("pan", (4,)),
    "c267f0b56f37f55c": Match("rfdn", (2,)),
    "05ce6b4ba80763c6": Match("rfdn", (3,)),
    "4d84c231622210b4": Match("rfdn", (4,)),
    "cd4b103452fd75fb": Match("rfdn-c48", (2,)),
    "3930c476b4d3b322": Match("rfdn-c48", (3,)),
    "c0040a2724380734": Match("rfdn-c48", (4,)),
    "fd30f8a5b6554846": Match("rfdn-c52", (2,)),
    "4af5366023f44a0f": Match("rfdn-c52", (3,)),
    "baa4c089fc4ef05b": Match("rfdn-c52", (4,)),
    "c0b7e006de6a5487": Match("mfdn", (2, 3)),
    "9df999d61b6a7792": Match("mfdn", (4,)),
    "1fb8b84241c3cd98": Match("drn", (2,)),
    "a0789e963e929ff6": Match("drn", (3,)),
    "1d5afa42c1c6aa22": Match("drn", (4,)),
    "aec8c496e77a4515": Match("drn-plus", (2,)),
    "bf296df71136bf74": Match("drn-plus", (3,)),
    "0945753575758b5f": Match("drn-plus", (4,)),
    "b89851c707012c73": Match("fdiwn", (2,)),
    "b2f9ec81b09f7fbf": Match("fdiwn", (3,)),
    "7ee142a2370e72a3": Match("fdiwn", (4,)),
    "a35b60de4cbfb15b": Match("fdiwn-m", (2,)),
    "9c3027ef885c794d": Match("fdiwn-m", (3,)),
    "245b94ebff2ce8ad": Match("fdiwn-m", (4,)),
    "43c52c6212bea931": Match("rdsrn", (2,)),
    "809d68ff3fc21787": Match("rdsrn", (3,)),
    "cf6224c09e6d99df": Match("rdsrn", (4,)),
    "58b661542fa33600": Match("fast", (2,)),
    "a4f10ea0c6891095": Match("fast", (3,)),
    "0c169f3fd01dacbc": Match("fast", (4,)),
    "3ec239f8b0986e8e": Match("standard", (2,)),
    "f9dc09738cdb134f": Match("standard", (3,)),
    "a13a4234d73cd6df": Match("standard", (4,)),
    "038dfa5c75db5cc3": Match("quality", (2,)),
    "4258516370c59c0c": Match("quality", (3,)),
    "5bde909bb856089a": Match("quality", (4,)),
}
