"""Train small networks, and count the tensors that `glorot inspect` takes for a known start.

    python benchmarks/trained.py             20 networks, 1 to 5,000 steps, and 1,000 fresh files
    python benchmarks/trained.py --quick     5 networks, 1 to 100 steps, and 40 fresh files
    python benchmarks/trained.py --write     put the tables into docs/verify.md

The networks are perceptrons, some of them over an embedding, of Keras's and of torch's starts, with
SGD, momentum or Adam, on tasks that are made up here. The start is drawn by glorot; training is
NumPy's. Files are written without provenance, so nothing but elements and names can tell.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.checks.inspection import InspectedTensor, inspect_weights

PAGE = Path(__file__).resolve().parent.parent / "docs" / "verify.md"
STEPS = (1, 10, 100, 1_000, 5_000)
BATCH = 32
LARGE = 1_000
Array = np.ndarray[Any, np.dtype[Any]]
State = dict[str, Array]
Group = Literal["matrices, 1,000 elements or more", "smaller matrices", "vectors"]
GROUPS: tuple[Group, ...] = ("matrices, 1,000 elements or more", "smaller matrices", "vectors")


@dataclass(frozen=True)
class Network:
    """Describe a network and its training; `vocabulary` puts an embedding before the layers."""

    dialect: Literal["keras", "torch"]
    start: str | None
    sizes: tuple[int, ...]
    activation: Literal["relu", "tanh"]
    optimizer: Literal["sgd", "momentum", "adam"]
    rate: float
    task: Literal["teacher", "blobs", "parity", "waves"]
    biases: bool = True
    gains: bool = False
    vocabulary: int = 0


NETWORKS = (
    Network("keras", "glorot_uniform", (20, 64, 64, 5), "relu", "adam", 1e-3, "blobs"),
    Network("keras", "he_normal", (30, 100, 10), "relu", "sgd", 0.05, "teacher"),
    Network("torch", None, (16, 64, 32, 4), "relu", "adam", 1e-3, "blobs"),
    Network("torch", None, (50, 128, 1), "tanh", "momentum", 0.01, "waves"),
    Network("keras", "orthogonal", (32, 64, 3), "tanh", "adam", 3e-3, "parity", gains=True),
    Network("keras", "glorot_normal", (40, 80, 40, 6), "tanh", "momentum", 0.02, "blobs"),
    Network("keras", "lecun_normal", (10, 200, 200, 2), "tanh", "adam", 1e-3, "parity"),
    Network("torch", "kaiming_normal", (64, 128, 64, 8), "relu", "sgd", 0.1, "teacher"),
    Network("torch", "xavier_uniform", (24, 48, 12), "tanh", "sgd", 0.1, "teacher"),
    Network("torch", "xavier_normal", (100, 60, 10), "relu", "adam", 1e-3, "blobs"),
    Network("keras", "he_uniform", (12, 40, 40, 1), "relu", "adam", 3e-3, "waves"),
    Network("keras", "glorot_uniform", (8, 16, 4), "relu", "sgd", 0.1, "blobs"),
    Network("torch", None, (4, 8, 8, 1), "tanh", "adam", 1e-2, "waves"),
    Network("keras", "lecun_uniform", (64, 256, 10), "relu", "momentum", 0.01, "teacher"),
    Network("keras", "he_normal", (25, 150, 5), "relu", "adam", 1e-3, "blobs", biases=False),
    Network("torch", "normal", (64, 100, 20), "relu", "adam", 1e-3, "parity", gains=True),
    Network("torch", None, (32, 64, 5), "relu", "adam", 1e-3, "blobs", vocabulary=200),
    Network("keras", "glorot_uniform", (24, 48, 3), "relu", "adam", 1e-3, "blobs", vocabulary=100),
    Network("torch", "trunc_normal", (48, 96, 48, 24), "tanh", "sgd", 0.05, "blobs"),
    Network("keras", "glorot_uniform", (2, 4, 1), "tanh", "adam", 1e-2, "waves"),
)


def spec_of(network: Network) -> dict[str, Any]:
    """Return the spec of a network, with its framework's default initializers where it has none."""
    torch, layers = network.dialect == "torch", []
    start: Any = network.start
    if start in ("normal", "trunc_normal"):
        start = {"name": start, "std": 0.05}
    if network.vocabulary:
        rows, width = network.vocabulary, network.sizes[0]
        layers.append(
            {"type": "Embedding", "name": "embed", "num_embeddings": rows, "embedding_dim": width}
            if torch
            else {"type": "Embedding", "name": "embed", "input_dim": rows, "output_dim": width}
        )
    for index, (a, b) in enumerate(zip(network.sizes, network.sizes[1:], strict=False)):
        layer: dict[str, Any] = {"name": f"dense{index}"}
        if torch:
            layer |= {"type": "Linear", "in_features": a, "out_features": b}
            layer |= {"bias": network.biases}
            layer |= {"initializers": {"weight": start}} if start else {}
        else:
            layer |= {"type": "Dense", "units": b, "kernel_initializer": start}
            layer |= {"use_bias": network.biases}
        layers.append(layer)
    shape = [7] if network.vocabulary else [network.sizes[0]]
    return {"dialect": network.dialect, "layers": layers} | (
        {} if torch else {"input_shape": shape}
    )


def start_of(network: Network, seed: int) -> State:
    """Draw a network's start, by the names that files have."""
    plan = glorot.make_plan(glorot.load_spec({"seed": seed, **spec_of(network)}))
    state = {tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors}
    for index, size in enumerate(network.sizes[1:-1] if network.gains else ()):
        state[f"norm{index}{'.weight' if network.dialect == 'torch' else '/gamma'}"] = np.ones(
            size, np.float32
        )
    return state


class Model:
    """Run a network forwards and backwards on its state."""

    def __init__(self, network: Network, state: State) -> None:
        self.network, self.state = network, {name: value.copy() for name, value in state.items()}
        self.torch = network.dialect == "torch"
        self._slow: dict[str, tuple[Array, Array]] = {}
        self._step = 0

    def name(self, layer: str, role: str) -> str:
        names = {"kernel": "weight", "gamma": "weight", "embeddings": "weight"}
        return f"{layer}.{names.get(role, role)}" if self.torch else f"{layer}/{role}"

    def learn(self, inputs: Array, targets: Array) -> None:
        """Take one step on a batch; targets of integers are classes."""
        state, network = self.state, self.network
        tokens = inputs
        if network.vocabulary:
            inputs = state[self.name("embed", "embeddings")][tokens].sum(axis=1)
        depth, kept, x = len(network.sizes) - 1, [], inputs
        for index in range(depth):
            kernel = state[self.name(f"dense{index}", "kernel")]
            z = x @ (kernel.T if self.torch else kernel)
            z = z + state.get(self.name(f"dense{index}", "bias"), np.float32(0.0))
            last = index == depth - 1
            y = z if last else np.maximum(z, 0) if network.activation == "relu" else np.tanh(z)
            kept.append((x, z, y))
            gain = state.get(self.name(f"norm{index}", "gamma"))
            x = y if gain is None else y * gain
        gradients: State = {}
        back = _loss_gradient(x, targets)
        for index in reversed(range(depth)):
            x, z, y = kept[index]
            gain = state.get(self.name(f"norm{index}", "gamma"))
            if gain is not None:
                gradients[self.name(f"norm{index}", "gamma")] = (back * y).sum(axis=0)
                back = back * gain
            if index < depth - 1:
                back = back * ((z > 0) if network.activation == "relu" else 1 - y * y)
            kernel = state[self.name(f"dense{index}", "kernel")]
            product = x.T @ back
            gradients[self.name(f"dense{index}", "kernel")] = product.T if self.torch else product
            if self.name(f"dense{index}", "bias") in state:
                gradients[self.name(f"dense{index}", "bias")] = back.sum(axis=0)
            back = back @ (kernel if self.torch else kernel.T)
        if network.vocabulary:
            table = np.zeros_like(state[self.name("embed", "embeddings")])
            np.add.at(table, tokens, back[:, None, :])
            gradients[self.name("embed", "embeddings")] = table
        self._step += 1
        for name, gradient in gradients.items():
            state[name] -= self._update(name, gradient).astype(np.float32)

    def _update(self, name: str, gradient: Array) -> Array:
        rate, kind = self.network.rate, self.network.optimizer
        if kind == "sgd":
            return rate * gradient
        first, second = self._slow.get(name, (np.zeros_like(gradient), np.zeros_like(gradient)))
        if kind == "momentum":
            first = 0.9 * first + gradient
            self._slow[name] = first, second
            return rate * first
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        self._slow[name] = first, second
        right = math.sqrt(1.0 - 0.999**self._step) / (1.0 - 0.9**self._step)
        return rate * right * first / (np.sqrt(second) + 1e-8)


def _loss_gradient(outputs: Array, targets: Array) -> Array:
    """Return the gradient of cross-entropy, or of half the mean square."""
    if targets.dtype.kind == "f":
        return (outputs - targets) / len(outputs)
    shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(outputs)), targets] -= 1.0
    return np.asarray(shares / len(outputs))


def task_of(network: Network, rng: np.random.Generator) -> tuple[Array, Array]:
    """Make a task of 2,000 examples."""
    count, inputs, outputs = 2_000, network.sizes[0], network.sizes[-1]
    if network.vocabulary:
        tokens = rng.integers(0, network.vocabulary, (count, 7))
        return tokens, np.asarray(tokens.sum(axis=1) % outputs)
    x = rng.normal(size=(count, inputs)).astype(np.float32)
    match network.task:
        case "blobs":
            classes = rng.integers(0, outputs, count)
            centres = rng.normal(size=(outputs, inputs)).astype(np.float32)
            return x + centres[classes], classes
        case "parity":
            return x, np.asarray((x[:, :2] > 0).sum(axis=1) % outputs)
        case "teacher":
            hidden = np.tanh(x @ rng.normal(size=(inputs, 8)).astype(np.float32))
            return x, (hidden @ rng.normal(size=(8, outputs))).astype(np.float32)
        case "waves":
            return x, np.sin(2.0 * x[:, :1]) * np.ones((1, outputs), np.float32)


def trained(number: int, steps: tuple[int, ...]) -> Iterator[tuple[int, State, State]]:
    """Train a network, and give its start and its state after each number of steps."""
    network, rng = NETWORKS[number], np.random.default_rng(number)
    start = start_of(network, number)
    model = Model(network, start)
    inputs, targets = task_of(network, rng)
    for step in range(1, steps[-1] + 1):
        chosen = rng.integers(0, len(inputs), BATCH)
        model.learn(inputs[chosen], targets[chosen])
        if step in steps:
            yield step, start, {name: value.copy() for name, value in model.state.items()}


def inspected(network: Network, state: State, folder: Path) -> list[InspectedTensor]:
    """Write a state as a framework would name it, and inspect the file."""
    path = folder / "w.safetensors"
    arrays = {name: np.ascontiguousarray(value) for name, value in state.items()}
    safetensors.numpy.save_file(arrays, path)
    return inspect_weights(path, fans=network.dialect).tensors


def group_of(tensor: InspectedTensor) -> Group:
    if len(tensor.shape) < 2:
        return "vectors"
    return GROUPS[0] if math.prod(tensor.shape) >= LARGE else GROUPS[1]


def confusion_table(networks: int, steps: tuple[int, ...], show: bool) -> Iterator[str]:
    """Count trained tensors, those that differ from their start, and those that are named."""
    all_of: Counter[tuple[int, Group]] = Counter()
    named: Counter[tuple[int, Group]] = Counter()
    fresh_files: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(networks):
            network = NETWORKS[number]
            fresh = start_of(network, number)
            for step, start, state in [(0, fresh, fresh), *trained(number, steps)]:
                found = inspected(network, state, Path(folder))
                fresh_files[step] += all(tensor.fits for tensor in found)
                for tensor in found:
                    if step and np.array_equal(state[tensor.name], start[tensor.name]):
                        continue
                    key = step, group_of(tensor)
                    all_of[key] += 1
                    named[key] += bool(tensor.fits)
                    if show and bool(tensor.fits) == bool(step):
                        print(f"# network {number}, step {step}: {tensor.name} {tensor.shape}",
                              tensor.fits)  # fmt: skip
    yield "| steps | " + " | ".join(GROUPS) + " | files without a tensor that is unknown |"
    yield "| --- |" + " --- |" * (len(GROUPS) + 1)
    for step in (0, *steps):
        cells = [f"{named[step, g]} of {all_of[step, g]}" for g in GROUPS]
        cells.append(f"{fresh_files[step]} of {networks}")
        yield f"| {step:,} | " + " | ".join(cells) + " |"


def fresh_table(files: int) -> Iterator[str]:
    """Count fresh files with a tensor that is missed, of the networks' starts by turns."""
    missed = tensors = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(files):
            network = NETWORKS[seed % len(NETWORKS)]
            found = inspected(network, start_of(network, 1_000 + seed), Path(folder))
            unnamed = sum(not tensor.fits for tensor in found)
            missed, tensors, wrong = missed + bool(unnamed), tensors + len(found), wrong + unnamed
    yield "| fresh files | tensors | tensors without a name | files with one |"
    yield "| --- | --- | --- | --- |"
    yield f"| {files:,} | {tensors:,} | {wrong} | {missed} ({missed / files:.1%}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer networks, steps and files")
    parser.add_argument("--show", action="store_true", help="print each tensor that is named wrong")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/verify.md")
    arguments = parser.parse_args()
    networks, steps, files = (5, STEPS[:3], 40) if arguments.quick else (20, STEPS, 1_000)
    tables = {
        "trained": "\n".join(confusion_table(networks, steps, arguments.show)),
        "fresh": "\n".join(fresh_table(files)),
    }
    for name, table in tables.items():
        print(table + "\n")
        if arguments.write:
            head, mark, rest = PAGE.read_text("utf-8").partition(f"<!-- {name} -->\n")
            tail = rest.partition(f"<!-- /{name} -->")[2]
            PAGE.write_text(f"{head}{mark}{table}\n<!-- /{name} -->{tail}", "utf-8")


if __name__ == "__main__":
    main()
