"""A network as a graph of operations: which of its nodes can be a cut, and the ending that comes after one.

A node separates the graph when every path from the images to the classifier goes through it; then its one tensor is all that
the rest of the network needs. The classifier, the last Linear, is never part of an ending: the head replaces it.

Legend: B images, C features.
"""

import difflib
import inspect
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torchvision
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import DualGraphModule, NodePathTracer

from galaxies.backbones.spec import INPUT
from galaxies.backbones.weights import classifier_name
from galaxies.errors import InputError


@dataclass(frozen=True)
class _Trace:
    """The nodes of a model in one mode that lead from the images to the classifier."""

    end: fx.Node  # the classifier's input
    path: tuple[fx.Node, ...]  # the nodes that depend on the images and that the end depends on, in order, both included
    names: Mapping[fx.Node, str]  # of all nodes of the model

    def last_in(self, layer: str) -> fx.Node | None:
        """Return the node that a layer means: the one of this name, or the last in the module of this name."""
        inside = [node for node, name in self.names.items() if name == layer or name.startswith(f"{layer}.")]
        return inside[-1] if inside else None


class Graph:
    """A model, traced once in evaluation and once in train mode.

    Twice, because a trace freezes every ``if self.training`` that stands outside a module of torch or torchvision: a functional
    dropout is there in one of the graphs only. Method: torchvision's feature extraction, whose tracer and node names these are.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        was_training = model.training
        self._evaluation = _trace(model.eval())
        self._training = _trace(model.train())
        model.train(was_training)

    def cuts(self) -> list[str]:
        """Return the layers that can be a cut, in order, each under its shortest name.

        A layer is a node or a module, which means the last node in it: of a ResNet the list ends with ``layer4``, ``avgpool``,
        ``flatten``.
        """
        return [self._shortest_name(node) for node in _separating(self._evaluation.path)]

    def beginning_to(self, layers: Sequence[str]) -> fx.GraphModule:
        """Return what comes before some cuts: it maps images to a dict of layer -> activation, and holds no tensor beyond.

        For evaluation only. Raises InputError for a layer that cannot be a cut.
        """
        ends = {layer: self._find_cut(self._evaluation, layer) for layer in layers}
        graph = fx.Graph(tracer_cls=NodePathTracer)
        copies: dict[fx.Node, fx.Node] = {}
        images = self._evaluation.path[0]
        for node in _needed_for(*ends.values(), given=images):
            copies[node] = graph.placeholder("images") if node is images else graph.node_copy(node, copies.__getitem__)
        graph.output({layer: copies[node] for layer, node in ends.items()})
        return fx.GraphModule(self._model, graph, class_name="Beginning").eval()

    def walk(self, images: Tensor, visit: Callable[[str, bool, Tensor], None]) -> None:
        """Send images through, and call ``visit`` with the name of each node, whether it can be a cut, and its activation."""
        cuts = set(_separating(self._evaluation.path))
        walk = _Walk(self._model, self._evaluation.end.graph)
        walk.visit = {
            node: partial(visit, self._shortest_name(node) if node in cuts else self._evaluation.names[node], node in cuts)
            for node in self._evaluation.path[1:]
        }
        with torch.inference_mode():
            walk.run(images)

    def ending_after(self, layer: str) -> nn.Module:
        """Return what comes after a cut: it maps the layer's activation (B, ...) to the classifier's input (B, C).

        The ending shares its tensors with the model. Dropout and stochastic depth follow its ``train`` and ``eval``.
        Raises InputError for a layer that cannot be a cut.
        """
        training, evaluation = (
            _copy_after(trace, self._find_cut(trace, layer)) for trace in (self._training, self._evaluation)
        )
        ending: nn.Module = DualGraphModule(self._model, training, evaluation, class_name="Ending")
        return ending.train(self._model.training)

    def _find_cut(self, trace: _Trace, layer: str) -> fx.Node:
        node = trace.last_in(layer)
        if node is None or node not in _separating(trace.path):
            unknown = f"is no node of this backbone{self._nearest(layer)}"
            what = unknown if node is None else "cannot be a cut, for a path leads past it"
            raise InputError(f"The layer {layer!r} {what}. Those that can be a cut are {', '.join(self.cuts())}.")
        return node

    def _nearest(self, layer: str) -> str:
        """Return the known names that look most like a mistyped one, as the end of a sentence."""
        names = {name.rsplit(".", depth)[0] for name in self._evaluation.names.values() for depth in range(name.count(".") + 1)}
        close = difflib.get_close_matches(layer, sorted(names), n=4)
        return f"; the nearest are {', '.join(close)}" if close else ""

    def _shortest_name(self, node: fx.Node) -> str:
        """Return the name of the largest module whose last node this is, else the node's own."""
        name = self._evaluation.names[node]
        parts = name.split(".")
        modules = (".".join(parts[:length]) for length in range(1, len(parts)))
        return next((module for module in modules if self._evaluation.last_in(module) is node), name)


def _trace(model: nn.Module) -> _Trace:
    """Trace a model in its present mode."""
    # Modules of torchvision.ops, such as StochasticDepth, ask for their own mode when they run; so they stay whole.
    leaves = [part for part in vars(torchvision.ops).values() if inspect.isclass(part) and issubclass(part, nn.Module)]
    functions: tuple[object, ...] = ()
    if type(model).__module__.startswith("timm."):
        from timm.models import get_notrace_functions, get_notrace_modules

        leaves += get_notrace_modules()
        functions = tuple(get_notrace_functions())
    tracer = NodePathTracer(autowrap_modules=(math, torchvision.ops), autowrap_functions=functions, leaf_modules=leaves)
    # Options of `forward`, such as an attention mask, keep their defaults; else a trace takes them for given.
    options = {
        name: parameter.default
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    graph = tracer.trace(model, concrete_args=options)
    classifier = classifier_name(model)
    # The few networks that do not end in a Linear, such as SqueezeNet, have no classifier: all of them is kept.
    ends = [node for node in graph.nodes if node.op == "output" or (node.op == "call_module" and node.target == classifier)]
    images = next(node for node in graph.nodes if node.op == "placeholder")
    end = ends[0].all_input_nodes[0]
    nodes = _needed_for(end, given=images)
    dependent = {images}
    for node in nodes:
        if not dependent.isdisjoint(node.all_input_nodes):
            dependent.add(node)
    names = {**tracer.node_to_qualname, images: INPUT}
    return _Trace(end, tuple(node for node in nodes if node in dependent), names)


class _Walk(fx.Interpreter):
    """Runs a graph node by node and shows the results."""

    visit: Mapping[fx.Node, Callable[[Tensor], None]]

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        super().__init__(fx.GraphModule(model, graph), graph=graph)

    def run_node(self, n: fx.Node) -> object:
        """Run one node."""
        result = super().run_node(n)
        if n in self.visit and isinstance(result, Tensor):
            self.visit[n](result)
        return result


def _needed_for(*ends: fx.Node, given: fx.Node) -> list[fx.Node]:
    """Return the nodes from which ``ends`` are computed once ``given`` is known, all of them included, in order."""
    needed, waiting = {given}, list(ends)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return [node for node in given.graph.nodes if node in needed]


def _separating(path: Sequence[fx.Node]) -> Iterator[fx.Node]:
    """Yield the nodes of a path that separate the graph and give one tensor.

    In any order of execution, nothing before such a node is used after it.
    """
    position = {node: index for index, node in enumerate(path)}
    reach = 0  # The last place where anything so far is used.
    for index, node in enumerate(path):
        users = [user for user in node.users if user in position]
        if reach <= index and not (users and all(_takes_element(user) for user in users)):
            yield node
        reach = max([reach, *(position[user] for user in users)])


def _takes_element(node: fx.Node) -> bool:
    """Tell whether a node unpacks a tuple, as of the output and the weights of an attention."""
    return node.target is operator.getitem and isinstance(node.args[1], int)


def _copy_after(trace: _Trace, cut: fx.Node) -> fx.Graph:
    """Return the graph from a cut to the end."""
    graph = fx.Graph(tracer_cls=NodePathTracer)
    copies = {cut: graph.placeholder("activation")}
    for node in _needed_for(trace.end, given=cut):
        if node is not cut:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[trace.end])
    return graph
