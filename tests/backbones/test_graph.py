"""A cut separates the graph, and what comes after it is the network that was there, dropout and stochastic depth included."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import ConvNeXt, DenseNet, SwinTransformer, VisionTransformer, get_model
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.feature_extraction import create_feature_extractor

from galaxies.backbones.graph import Graph
from galaxies.backbones.weights import classifier_name
from galaxies.errors import InputError


def timm_vit() -> nn.Module:
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, drop_rate=0.2, drop_path_rate=0.3)
    return model


def vgg() -> nn.Module:
    """Return a VGG-11 whose classifier has 64 neurons in a layer, not 4,096: 6 of its 133 million parameters."""
    with torch.device("meta"):
        model = get_model("vgg11")
        model.classifier[0], model.classifier[3] = nn.Linear(25088, 64), nn.Linear(64, 64)
        model.classifier[6] = nn.Linear(64, 10)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    return model  # type: ignore[no-any-return]


# Small ones where the smallest published variant would take seconds to fill with random numbers.
ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: get_model("resnet18"),
    "vgg": vgg,
    "densenet": lambda: DenseNet(8, (2, 2, 2), 16, drop_rate=0.3),
    "mobilenet": lambda: get_model("mobilenet_v3_small"),
    "efficientnet": lambda: get_model("efficientnet_b0"),
    "regnet": lambda: get_model("regnet_y_400mf"),
    "convnext": lambda: ConvNeXt([CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)], stochastic_depth_prob=0.3),
    "swin": lambda: SwinTransformer([2, 2], 24, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.3),
    "vit": lambda: VisionTransformer(32, 8, 3, 2, 32, 64, dropout=0.2),
    "timm-convnext": lambda: timm.create_model("convnext_atto", drop_path_rate=0.3),
    "timm-vit": timm_vit,
}
WITHOUT_RANDOMNESS = {"resnet", "regnet"}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Graph]:
    """Make a network in float64, in which in-place operations cannot overwrite the activation before them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ARCHITECTURES[request.param]().double().eval()
    for module in model.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - as in galaxies.backbones.backbone
    return request.param, model, Graph(model)


def run_to(model: nn.Module, layers: list[str], images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Return the activations of ``layers`` by torchvision's own extractor, and what the last Linear is given."""
    seen: list[Tensor] = []
    classifier = model.get_submodule(classifier_name(model) or "")
    handle = classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    maker = timm.models.create_feature_extractor if type(model).__module__.startswith("timm.") else create_feature_extractor
    with torch.no_grad():
        model(images)
        handle.remove()
        prefix = maker(model, {layer: layer.replace(".", "/") for layer in layers})
        return {name.replace("/", "."): activation for name, activation in prefix(images).items()}, seen[0]


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")
def test_prefix_and_ending_are_the_uncut_network(network: tuple[str, nn.Module, Graph]) -> None:
    _, model, graph = network
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cuts = graph.cuts()
    assert cuts[0] == "input"
    assert len(cuts) >= 10
    some = [*cuts[1 :: len(cuts) // 8], cuts[-1]]
    activations, expected = run_to(model, some, images)
    # In the units in which two images differ, so that an ending which ignores its input cannot pass.
    unit = (expected[0] - expected[1]).abs().mean()
    for layer in ["input", *some]:
        with torch.no_grad():
            features = graph.ending_after(layer)(activations.get(layer, images).clone())
        error = float((features - expected).abs().max() / unit)
        assert error < 1e-6, layer


def test_dropout_and_stochastic_depth_work_in_training_only(network: tuple[str, nn.Module, Graph]) -> None:
    name, _, graph = network
    ending = graph.ending_after("input")
    images = torch.rand(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        first, second = ending.train()(images), ending.train()(images)
        assert torch.equal(first, second) == (name in WITHOUT_RANDOMNESS)
        assert torch.equal(ending.eval()(images), ending.eval()(images))


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")
def test_all_of_an_ending_learns_and_nothing_before_it(network: tuple[str, nn.Module, Graph]) -> None:
    _, model, graph = network
    cuts = graph.cuts()
    layer = cuts[len(cuts) // 2]
    ending = graph.ending_after(layer)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    activations, _ = run_to(model, [layer], images)
    ending(activations[layer]).square().sum().backward()
    assert list(ending.parameters())
    assert all(parameter.grad is not None for parameter in ending.parameters())
    own = {id(parameter) for parameter in ending.parameters()}
    others = [parameter for parameter in model.parameters() if id(parameter) not in own]
    assert others
    assert all(parameter.grad is None for parameter in others)
    model.zero_grad()


def test_an_ending_has_the_names_and_the_tensors_of_the_backbone() -> None:
    model = get_model("resnet18").eval()
    state = Graph(model).ending_after("layer3").state_dict()
    assert {name.split(".")[0] for name in state} == {"layer4"}
    assert all(value.data_ptr() == model.state_dict()[name].data_ptr() for name, value in state.items())


def test_a_trace_leaves_the_mode_of_the_model_alone() -> None:
    model = get_model("resnet18").eval()
    Graph(model)
    assert not any(module.training for module in model.modules())


def test_the_batch_may_have_any_size() -> None:
    ending = Graph(ARCHITECTURES["vit"]().eval()).ending_after("encoder.layers.encoder_layer_0")
    assert ending(torch.rand(5, 17, 32)).shape == (5, 32)


def test_a_layer_past_which_a_path_leads_is_refused_with_those_that_can_be_a_cut() -> None:
    graph = Graph(get_model("resnet18").eval())
    with pytest.raises(InputError, match=r"'layer1\.0\.conv1' cannot be a cut, for a path leads past it\..*layer1, .*layer4, "):
        graph.ending_after("layer1.0.conv1")
    with pytest.raises(
        InputError,
        match=r"'layer5' is no node of this backbone; the nearest are .*layer4.*Those that can be a cut are input, conv1",
    ):
        graph.ending_after("layer5")
    with pytest.raises(InputError, match="'fc' cannot be a cut"):
        graph.ending_after("fc")


def test_a_tuple_is_no_cut() -> None:
    class Chunks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            first, second = x.relu().chunk(2, dim=1)
            logits: Tensor = self.fc(first + second)
            return logits

    assert Graph(Chunks().eval()).cuts() == ["input", "relu", "add"]


def test_a_network_without_a_linear_at_its_end_is_kept_whole() -> None:
    model = get_model("squeezenet1_1").eval()
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(Graph(model).ending_after("input")(images), model(images))
