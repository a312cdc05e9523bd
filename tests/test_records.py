import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from srcli.records import jsonable


@dataclass
class Score:
    psnr: float
    place: Path


def test_what_json_has_not_becomes_what_it_has():
    record = {"scores": (Score(float("nan"), Path("a/b")), Score(31.5, Path("c"))), 2: float("-inf"), "rate": Fraction(25, 1)}
    told = json.loads(json.dumps(jsonable(record), allow_nan=False))
    assert told == {"scores": [{"psnr": None, "place": "a/b"}, {"psnr": 31.5, "place": "c"}], "2": None, "rate": "25"}
    assert jsonable([True, None, 3]) == [True, None, 3]
