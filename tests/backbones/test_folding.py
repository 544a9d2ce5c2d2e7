"""A folded network is the network that was there, and its modules are left alone."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, fx, nn
from torchvision.models import get_model

from galaxies.backbones.folding import fold_batch_norms
from galaxies.backbones.graph import Graph
from tests.backbones.test_graph import ARCHITECTURES

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **ARCHITECTURES,
    "timm-mobilenet": lambda: timm.create_model("mobilenetv3_small_050"),
    "timm-resnet": lambda: timm.create_model("resnet10t"),
}

# BatchNorms that stay: those of a DenseNet come before a convolution, or after a concatenation.
NUM_LEFT = {"densenet": 9}


def prepare(model: nn.Module) -> nn.Module:
    """Give every BatchNorm statistics and weights of its own, and make the network float64."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    tensor.data.uniform_(0.5, 1.5, generator=generator)
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - as in galaxies.backbones.backbone
    return model.double().eval().requires_grad_(False)


def images() -> Tensor:
    return torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def count_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_of_a_folded_network_is_what_it_was(name: str) -> None:
    model = prepare(NETWORKS[name]())
    graph = Graph(model)
    pixels = images()
    cuts = graph.cuts()
    layers = [*cuts[1 :: len(cuts) // 8], cuts[-1]]
    expected = graph.beginning_to(layers)(pixels)
    for kept in (layers, layers[-1:]):
        found = fold_batch_norms(graph.beginning_to(kept))(pixels)
        for layer in kept:
            torch.testing.assert_close(found[layer], expected[layer], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_follows_a_convolution_is_folded_and_the_model_stays_whole(name: str) -> None:
    model = prepare(NETWORKS[name]())
    graph = Graph(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    num_norms = count_norms(model)
    network = fold_batch_norms(graph.beginning_to(graph.cuts()[-1:]))
    assert count_norms(network) == (NUM_LEFT.get(name, 0) if num_norms else 0)
    assert count_norms(model) == num_norms
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Awkward(nn.Module):
    """Calls one convolution twice, uses another's result beside its BatchNorm, and has one BatchNorm without statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.beside, self.last = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.first_norm, self.second_norm, self.third_norm = (nn.BatchNorm2d(3) for _ in range(3))
        self.live_norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.second_norm(self.twice(self.first_norm(self.twice(x))))
        x = self.beside(x)
        x = x + self.third_norm(x)
        y: Tensor = self.live_norm(self.last(x))
        return y


def test_what_cannot_be_folded_stays() -> None:
    model = Awkward()
    for norm in (model.first_norm, model.second_norm, model.third_norm):
        norm.running_mean, norm.running_var = torch.rand(3), torch.rand(3) + 0.5
    model = model.double().eval()
    network = fold_batch_norms(fx.symbolic_trace(model))
    assert count_norms(network) == 4
    torch.testing.assert_close(network(images()), model(images()), rtol=1e-9, atol=1e-9)


def test_a_convolution_that_is_a_layer_itself_keeps_its_own_values() -> None:
    graph = Graph(prepare(get_model("resnet18")))
    network = fold_batch_norms(graph.beginning_to(["conv1", "bn1"]))
    assert count_norms(network) == 1
    pixels = images()
    for layer, activation in network(pixels).items():
        torch.testing.assert_close(activation, graph.beginning_to([layer])(pixels)[layer])
