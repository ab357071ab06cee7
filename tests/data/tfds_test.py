"""TensorFlow Datasets: a prepared data set is read without TensorFlow, and mistakes are one line."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from gen_jax.data.load import batches, load
from gen_jax.errors import UserError

IMAGE = "tensorflow_datasets.core.features.image_feature.Image"
LABEL = "tensorflow_datasets.core.features.class_label_feature.ClassLabel"
DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"


def prepare(data_dir, file_format="array_record"):
    """Writes a data set `tiny_dots` of 10 images the way TensorFlow Datasets 4.9 lays one out."""
    import io

    from PIL import Image
    from tensorflow_datasets.proto import tf_example_generated_pb2 as proto

    folder = data_dir / "tiny_dots" / "1.0.0"
    folder.mkdir(parents=True)
    shape = {"dimensions": ["4", "6", "3"]}
    features = {
        "image": {"image": {"dtype": "uint8", "shape": shape}, "pythonClassName": IMAGE},
        "label": {"classLabel": {"numClasses": "2"}, "pythonClassName": LABEL},
    }
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}, "pythonClassName": DICT}))
    (folder / "label.labels.txt").write_text("even\nodd\n")
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    split = {"filepathTemplate": template, "name": "train", "numBytes": "1000", "shardLengths": ["10"]}
    info = {"fileFormat": file_format, "name": "tiny_dots", "splits": [split], "version": "1.0.0"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    writer = ArrayRecordWriter(str(folder / f"tiny_dots-train.{file_format}-00000-of-00001"), "group_size:1")
    for i in range(10):
        example, png = proto.Example(), io.BytesIO()
        Image.fromarray(np.full((4, 6, 3), i, np.uint8)).save(png, "PNG")
        example.features.feature["image"].bytes_list.value.append(png.getvalue())
        example.features.feature["label"].int64_list.value.append(i % 2)
        writer.write(example.SerializeToString())
    writer.close()
    return {"name": "tfds", "dataset": "tiny_dots", "data_dir": str(data_dir)}


def test_a_prepared_data_set_is_read_without_tensorflow(tmp_path):
    source = load(prepare(tmp_path))
    assert (len(source), source.info.shape, source.info.class_names) == (10, (4, 6, 3), ("even", "odd"))
    batch = next(batches(source, 10, keys=["label"], seed=0))
    numbers = batch["x"][:, 0, 0, 0]
    assert sorted(numbers.tolist()) == list(range(10))
    np.testing.assert_array_equal(batch["label"], numbers % 2)
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "valid"}, "unknown split of tiny_dots 'valid'.*Known: train"),
        ({"image_key": "img"}, "unknown image_key of tiny_dots 'img': did you mean 'image'"),
        ({"dataset": "mnits"}, "unknown data set of TensorFlow Datasets 'mnits': did you mean mnist"),
    ],
)
def test_mistakes_are_named(tmp_path, arguments, message):
    spec = prepare(tmp_path) | arguments
    with pytest.raises(UserError, match=message) as caught:
        load(spec, spec.pop("split", "train"))
    assert "\n" not in str(caught.value)


def test_a_format_without_random_access_is_named(tmp_path):
    with pytest.raises(UserError, match="without random access"):
        load(prepare(tmp_path, "tfrecord"))


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed")
@pytest.mark.parametrize("spec", [{"name": "mnist"}, {"name": "cifar10"}])
def test_preparing_without_tensorflow_names_the_command(tmp_path, monkeypatch, spec):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"pip install 'gen-jax\[tfds\]'"):
        load(spec)
