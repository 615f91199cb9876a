"""The trained network of an evaluation: kept, loaded, asked and exported."""

import argparse
import json

import numpy as np
import pytest
import torch
from PIL import Image

import asap
from asap.errors import UserError
from asap.train import predict
from asap.train.datasets import load as load_images


@pytest.fixture
def run(quick_evaluation):
    return quick_evaluation(cell="XNAS")


def digits(tmp_path):
    split = load_images("digits", tmp_path).test
    for i in range(3):
        Image.fromarray(split.images[i, ..., 0].numpy()).save(tmp_path / f"{i}.png")
    return [str(tmp_path / f"{i}.png") for i in range(3)], split


def test_the_trained_network_makes_the_recorded_errors_and_names_its_classes(run, tmp_path, capsys):
    network = asap.load(run)
    paths, split = digits(tmp_path)
    assert not network.training and network.class_names == tuple("0123456789")
    images = split.images.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        wrong = network(images).argmax(1) != split.labels
    assert wrong.tolist() == asap.Run.open(run).wrong().tolist()
    assert torch.equal(network.read(paths), images[:3])
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    assert predict.command(vars(parser.parse_args(["--run", str(run), "--json", *paths]))) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == paths and sum(found[paths[0]].values()) == pytest.approx(1)
    assert network.classify(paths[0]) == network.classify(paths[:1])
    exporting = ["--run", str(run), "--json", paths[0], "--export", str(tmp_path / "n.pt2")]
    assert predict.command(vars(parser.parse_args(exporting))) == 0
    said = capsys.readouterr()
    assert list(json.loads(said.out)) == paths[:1] and said.err.strip() == str(tmp_path / "n.pt2")
    by_class = asap.Run.open(run).test()["wrong_of_class"]
    counted = {name: [int(wrong[split.labels == i].sum()), int((split.labels == i).sum())] for i, name in enumerate("0123456789")}
    assert by_class == counted


def test_an_exported_network_gives_the_same_outputs(run, tmp_path):
    network, images = asap.load(run), torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
        exported = torch.export.load(predict.export(run, tmp_path / "n.pt2")).module()(images)
    assert torch.allclose(exported, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_onnx_gives_the_same_outputs(run, tmp_path):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="pip install onnx onnxscript onnxruntime to test the export to ONNX")
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnx onnxscript onnxruntime to test the export to ONNX")
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    session = runtime.InferenceSession(str(predict.export(run, tmp_path / "n.onnx")))
    with torch.no_grad():
        expected = asap.load(run)(images).numpy()
    assert np.allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-4)


def test_what_cannot_be_loaded_or_exported_is_one_line(run, tmp_path, quick_evaluation):
    with pytest.raises(UserError, match="to train anew, delete the run's folder"):
        asap.load(quick_evaluation(keep_weights=False))
    with pytest.raises(UserError, match=r"ends in \.pt2 or \.onnx"):
        predict.export(run, tmp_path / "n.txt")
    with pytest.raises(UserError, match="cannot write under"):
        predict.export(run, tmp_path / "nowhere" / "n.pt2")
    for name in ("folder.pt2", "folder.onnx"):
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match=f"{name} is a folder"):
            predict.export(run, tmp_path / name)
    with pytest.raises(UserError, match=r"no\.png: No such file or directory$"):
        asap.load(run).classify([tmp_path / "no.png"])
    with pytest.raises(UserError, match="no run"):
        asap.load(tmp_path)
    weights = run / predict.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"weights\.pt"):
        asap.load(run)
