"""Graphs, weights and a tokenizer that are others than they were, in a bundle whose hashes are made to fit."""

import json
from pathlib import Path
from random import Random

import onnx
from onnx import TensorProto, helper

from campaign.bundles import files_of, forge_hashes, pick, put
from campaign.forge_manifest import manifest_of, put_record
from campaign.hostile import PATHS, leaves, value_for, with_leaf, without

COMPONENTS = ("text_encoder", "denoiser", "decoder")
OPS = ("Loop", "If", "Scan", "Identity", "Sqrt", "NoSuchOp", "MatMul", "Reshape", "Cast")


def components(random: Random, bundle: Path) -> str:
    """Whole components change places, with the files or in the manifest alone."""
    one, other = random.sample(COMPONENTS, 2)
    kind = random.choice(["files", "graph", "names", "weights"])
    if kind == "names":
        record = manifest_of(bundle)
        names = {one: other, other: one}
        for each in record["components"]:
            each["name"] = names.get(each["name"], each["name"])
        put_record(bundle, record)
    else:
        for end in {"files": (".onnx", ".onnx.data"), "graph": (".onnx",), "weights": (".onnx.data",)}[kind]:
            first, second = (bundle / f"{name}{end}" for name in (one, other))
            data = first.read_bytes()
            put(first, second.read_bytes())
            put(second, data[:-4] + b"\0\0\0\0" if kind == "weights" else data)
        forge_hashes(bundle)
    return f"{kind} of {one} and {other}"


def external(random: Random, bundle: Path) -> str:
    """A graph says that its weights lie elsewhere, outside of the bundle too, or at impossible places in a file."""
    path = bundle / f"{random.choice(COMPONENTS)}.onnx"
    model = onnx.load(path, load_external_data=False)
    tensor = random.choice([each for each in model.graph.initializer if each.external_data])
    fields = {pair.key: pair for pair in tensor.external_data}
    key = random.choice(["location", "location", "location", "offset", "length"])
    if key == "location":
        (bundle.parent / "outside").write_bytes((bundle / f"{path.name}.data").read_bytes())
        wanted = random.choice([*PATHS, str(bundle.parent / "outside"), "../outside", *files_of(bundle)])
    else:
        wanted = str(random.choice([-1, 0, 1, 16384, 16383, 2**31, 2**63 - 1, 2**64, "", "x", 10**40]))
    if key not in fields:
        fields[key] = tensor.external_data.add(key=key)
    fields[key].value = wanted
    put(path, model.SerializeToString())
    forge_hashes(bundle)
    return f"{path.name} {key} {wanted[:60]!r}"


def graph(random: Random, bundle: Path) -> str:
    """A graph has other ops, shapes, types, names, or edges."""
    path = bundle / f"{random.choice(COMPONENTS)}.onnx"
    model = onnx.load(path, load_external_data=False)
    nodes, kind = (
        model.graph.node,
        random.choice(["op", "edge", "shape", "type", "gone", "opset", "cycle", "raw", "big"]),
    )
    node = random.choice(nodes)
    if kind == "op":
        node.op_type = random.choice(
            ["Loop", "If", "Scan", "Identity", "Sqrt", "NoSuchOp", "MatMul", "Reshape", "Cast"]
        )
    elif kind == "edge" and node.input:
        node.input[random.randrange(len(node.input))] = random.choice(["", "nothing like it", *nodes[0].output])
    elif kind == "cycle":
        nodes[0].input[0] = nodes[-1].output[0]
    elif kind == "gone":
        nodes.remove(node)
    elif kind == "opset":
        model.opset_import[0].version = random.choice([0, -1, 7, 99, 2**40])
    elif kind == "raw":
        tensor = random.choice(model.graph.initializer)
        tensor.dims[:] = [random.choice([-1, 0, 3, 2**31, 2**62]) for _ in range(random.randrange(1, 9))]
    elif kind == "big":
        nodes.insert(0, helper.make_node("ConstantOfShape", ["how_big"], ["big"]))
        model.graph.initializer.append(helper.make_tensor("how_big", TensorProto.INT64, [1], [2**50]))
    else:
        tensor = random.choice([*model.graph.input, *model.graph.output]).type.tensor_type
        if kind == "type":
            tensor.elem_type = random.choice([0, 1, 2, 7, 8, 16, 99])
        elif tensor.shape.dim:
            tensor.shape.dim[0].dim_value = random.choice([-1, 0, 2, 2**31, 2**62])
    put(path, model.SerializeToString())
    forge_hashes(bundle)
    return f"{path.name} {kind} {node.op_type}"


def tokenizer(random: Random, bundle: Path) -> str:
    """Something in the tokenizer's JSON is another, or missing."""
    path = bundle / "tokenizer.json"
    record = json.loads(path.read_bytes())
    inner = {**record, "model": {**record["model"], "vocab": {}, "merges": []}}
    where = random.choice([*leaves(inner), ("model", "vocab", "<|endoftext|>"), ("model", "merges", 17)])
    if random.random() < 0.3:
        record = without(record, where)
        note = "gone"
    else:
        wanted = value_for(random, where)
        record, note = with_leaf(record, where, wanted), f"= {str(wanted)[:40]!r}"
    put(path, json.dumps(record).encode("utf-8", "surrogatepass"))
    forge_hashes(bundle)
    return f"tokenizer {'.'.join(map(str, where))} {note}"


def numbers(random: Random, bundle: Path) -> str:
    """Stored numbers are others, some of them no numbers."""
    path = pick(random, bundle, (".f32", ".data"))
    data = bytearray(path.read_bytes())
    stored = random.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\1\0\0\0", random.randbytes(4)])
    for _ in range(random.choice([1, 10, len(data) // 4])):
        place = 4 * random.randrange(len(data) // 4)
        data[place : place + 4] = stored
    put(path, data)
    forge_hashes(bundle)
    return f"{path.name} holds {stored.hex()}"
