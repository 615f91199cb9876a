"""The house stays small: what ARCHITECTURE.md says of rooms, files and the reading path. A bound that is in the way asks what can go."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Lines that a room of asap/ has at most.
ROOMS = {"paper": 360, "records": 1260, "networks": 1430, "train": 2495, "search": 1245, "theory": 845, "score": 815, "report": 4595}
#: Modules of report/ that are no page, but what pages share.
SHARED = {"results", "rows", "display", "verdicts", "inference", "design", "claims_cells", "claims_search"}


def lines(*paths):
    return sum(len(path.read_text().splitlines()) for path in paths)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_and_its_files_are_small(room):
    files = [*(ROOT / "asap" / room).glob("*.py")]
    assert lines(*files) <= ROOMS[room]
    for file in files:
        assert lines(file) <= (150 if room == "report" and file.stem not in SHARED else 300), file


def test_the_reading_path_can_be_read_in_one_sitting():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    path = re.findall(r"`([\w/]+\.py)`", text.split("## The reading path")[1].split("##")[0])
    assert len(path) == 10 and lines(*(ROOT / "asap" / name for name in path)) <= 1800


def test_the_gpu_s_form_of_the_supernet_is_one_file_and_its_kernels():
    assert lines(*(ROOT / "asap" / "networks" / name for name in ("cuda.py", "triton.py", "triton_depthwise.py"))) <= 600
