"""A checkpoint is read as it was written, or refused."""

import io
import json

import numpy as np
import pytest
import torch

from asap.train.checkpoint import CheckpointError, read_tensors, write_tensors

TENSORS = {
    "a": torch.randn(3, 4, 2, 2).contiguous(memory_format=torch.channels_last),
    "b": torch.tensor(7),
    "c": torch.tensor([True, False]),
    "d": torch.randn(5).bfloat16(),
    "e": torch.zeros(0),
}
STATE = {"epoch": 3, "rows": [{"loss": 0.1}]}


def same(found):
    tensors, state = found
    return state == STATE and tensors.keys() == TENSORS.keys() and all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)


def test_one_flipped_bit_is_refused_or_means_nothing(tmp_path):
    """Every place of the file, in turn a bit of it: the zip's own bookkeeping may carry one that nothing reads."""
    path = tmp_path / "checkpoint.pt"
    write_tensors(path, TENSORS, STATE)
    assert same(read_tensors(path))
    whole, refused = path.read_bytes(), 0
    places = np.random.default_rng(0).integers(8 * len(whole), size=400)
    for place in places:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            assert same(read_tensors(path))
        except CheckpointError as error:
            refused += 1
            assert str(error).startswith(f"{path} is not a whole checkpoint (") and str(error).endswith(
                "delete it, and the run begins anew"
            )
    assert refused > 40
    # a bit of the tensors themselves is always seen
    place = whole.index(TENSORS["d"].view(torch.uint8).numpy().tobytes())
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(CheckpointError, match="its digest does not match"):
        read_tensors(path)


def test_a_checkpoint_from_before_there_was_a_digest_is_read(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"tensors": TENSORS, "state": json.dumps(STATE)}, path)
    assert same(read_tensors(path))
    buffer = io.BytesIO()
    torch.save({"tensors": TENSORS, "state": json.dumps(STATE), "other": 1}, buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="other things"):
        read_tensors(path)
