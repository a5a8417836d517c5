"""Exporting a model of the size of Llama-2-7B takes less than 2 GB of memory, mapped files counted.

The checkpoints have full size (13.5 GB each) and all their layers, but only some tensors have values: the rest are
holes in sparse files, which read as zeros. What is written is a sparse file too. Peak memory is the kernel's own figure
(VmHWM) for a process that does nothing else: it counts what the process allocates, the libraries it has loaded, and the
pages of mapped files while they are mapped. The kernels are compiled beforehand, as they are once on every machine: the
very first export there, whose tensors wait for the compiler, was seen to take 2.08 GB.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from heterosis.core.checkpoints import TensorInfo
from heterosis.core.forms import WeightedSum
from heterosis.core.kernels.elements import array
from heterosis.core.kernels.run import run

LIMIT = 2e9
LAYERS, WIDTH, INNER, VOCABULARY = 32, 4096, 11008, 32000
FILLED = ("model.embed_tokens.weight", "model.layers.0.", "model.norm.weight")

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 32,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
METHODS = {
    "linear": "merge_method: linear\nmodels: [base, one]\nparameters: {weight: 0.5}\n",
    "ties": "merge_method: ties\nbase_model: base\nmodels: [one]\nparameters: {weight: 0.5, density: 0.3}\n",
}

PROGRAM = """
import json, sys
from pathlib import Path
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import safetensors_writer, write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe

class Sparse(safetensors_writer.SafetensorsWriter):
    # Holes are left where there are zeros, so that the disk need not have room for the model.
    def write(self, name, tensor):
        if tensor.any():
            super().write(name, tensor)
        else:
            self._announced.pop(0)
            self._file.truncate(self._file.seek(tensor.nbytes, 1))

from heterosis.core.executors import disk
disk.SafetensorsWriter = Sparse
folder, text = Path(sys.argv[1]), sys.argv[2]
sources = SourceSet("base", ["one"], folder)
for checkpoint in sources.values():
    checkpoint.__dict__["fingerprint"] = "0" * 64  # hashing 27 GB takes long, and a buffer of 256 kB
planned = plan(Recipe.from_yaml(text + "dtype: float32\\nout_dtype: bfloat16\\n"), sources)

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

before = peak()
write_model(planned, folder / "out")
print(json.dumps([before, peak()]))
"""


def shapes():
    yield "model.embed_tokens.weight", (VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield f"{prefix}input_layernorm.weight", (WIDTH,)
        for name in "qkvo":
            yield f"{prefix}self_attn.{name}_proj.weight", (WIDTH, WIDTH)
        yield f"{prefix}post_attention_layernorm.weight", (WIDTH,)
        yield f"{prefix}mlp.gate_proj.weight", (INNER, WIDTH)
        yield f"{prefix}mlp.up_proj.weight", (INNER, WIDTH)
        yield f"{prefix}mlp.down_proj.weight", (WIDTH, INNER)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (VOCABULARY, WIDTH)


def write_sparse(directory, seed):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG))
    infos = {name: TensorInfo(shape, torch.bfloat16) for name, shape in shapes()}
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, info in infos.items():
        header[name] = {"dtype": "BF16", "shape": info.shape, "data_offsets": [offset, offset + info.nbytes]}
        offset += info.nbytes
    text = json.dumps(header).encode()
    generator = torch.Generator().manual_seed(seed)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        begin = file.tell()
        for name, info in infos.items():
            if name.startswith(FILLED):
                file.seek(begin + header[name]["data_offsets"][0])
                values = torch.randn(info.shape, generator=generator).mul_(0.02).bfloat16()
                file.write(values.view(-1).view(torch.uint8).numpy().data)
        file.truncate(begin + offset)
    assert offset > 13.4e9


@pytest.fixture(scope="module", autouse=True)
def compiled():
    tensor = torch.zeros(8, dtype=torch.bfloat16)
    assert run(WeightedSum((0.5, 0.5)), None, [array(tensor), array(tensor)], array(tensor.clone()))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    for seed, name in enumerate(("base", "one")):
        write_sparse(folder / name, seed)
    used = sum(os.stat(folder / name / "model.safetensors").st_blocks * 512 for name in ("base", "one"))
    if used > 4e9:
        pytest.skip("this file system has no sparse files")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_exporting_seven_billion_weights_takes_less_than_two_gigabytes(method, large):
    command = [sys.executable, "-c", PROGRAM, str(large), METHODS[method]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, peak = json.loads(done.stdout.splitlines()[-1])
    written = list((large / "out").glob("*.safetensors"))
    assert sum(path.stat().st_size for path in written) > 13.4e9
    shutil.rmtree(large / "out")
    print(f"{method}: {peak / 1e9:.2f} GB at most, {before / 1e9:.2f} GB before the first tensor")
    assert before < peak < LIMIT, f"{peak / 1e9:.2f} GB, of which {before / 1e9:.2f} GB before the first tensor"
