import pytest

from benchmark.backbones import backbone_of
from benchmark.cli.main import main
from benchmark.config import Settings
from benchmark.planning.preparation import image_size_for, prepare_run
from methods.errors import UserError


@pytest.mark.parametrize(
    ("backbone", "asked", "size"), [("mini", None, None), ("mini", 64, 64), ("mlp:size=20", None, 20), ("mlp", 28, 28)]
)
def test_the_size_of_images(backbone, asked, size):
    assert image_size_for(backbone_of(backbone), asked) == size


def test_another_size_than_the_backbone_takes_is_refused():
    with pytest.raises(UserError, match=r"--image-size 32: backbone mlp takes only images of 28x28; leave the option"):
        image_size_for(backbone_of("mlp"), 32)


def test_the_backbone_decides_size_and_channels():
    settings = Settings(
        stream="mini", methods=["sgd"], backbone="mlp:size=16", tasks=1, train_images=40, test_images=20
    )
    task = prepare_run(settings, note=lambda text: None).stream.tasks[0]
    assert list(task.train.images.shape[1:]) == [1, 16, 16]


def test_a_perceptron_learns_and_is_priced(tmp_path, capsys):
    options = ["--methods", "sgd", "--backbone", "mlp:size=16", "--tasks", "2"]
    run = ["run", *options, "--train-images", "40", "--test-images", "20", "--epochs", "1", "--out", str(tmp_path)]
    assert main([*run, "--name", "mlp"]) == 0
    assert (tmp_path / "mlp" / "summary.csv").exists()
    capsys.readouterr()
    assert main(["cost", *options]) == 0
    # 256 * 100 + 100 + 100 * 100 + 100
    assert "35,800" in capsys.readouterr().out


def test_cost_refuses_another_size(capsys):
    assert main(["cost", "--methods", "sgd", "--backbone", "mlp", "--image-size", "32"]) == 2
    assert "takes only images of 28x28" in capsys.readouterr().err


def test_methods_on_convolutions_refuse_a_perceptron(capsys):
    for method in ("hat", "ccll", "confit", "eft", "bpn", "conv-lora", "residual-adapters"):
        assert main(["cost", "--methods", method, "--backbone", "mlp:size=8"]) == 2
        assert f"{method} cannot be used on this backbone: it works on convolutions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "epochs", "says"),
    [
        (
            "sgd:warmup_epochs=3",
            3,
            "'sgd:warmup_epochs=3': its learning rate rises for 3 epochs (warmup_epochs), and it trains for 3 in all; "
            "give it fewer, or more --epochs",
        ),
        ("sgd:warmup_epochs=2", 3, ""),
    ],
)
def test_a_warm_up_leaves_an_epoch_for_the_schedule(spec, epochs, says):
    settings = Settings(methods=[spec], tasks=1, epochs=epochs, train_images=20, test_images=10)
    if not says:
        prepare_run(settings, note=lambda text: None)
        return
    with pytest.raises(UserError) as caught:
        prepare_run(settings, note=lambda text: pytest.fail("something was loaded"))
    assert str(caught.value) == says


def test_the_epochs_of_an_equal_cost_are_the_ones_that_count():
    """er trains on twice the images from the second task on, so that it has fewer epochs than sgd."""
    settings = Settings(
        methods=["er:warmup_epochs=7"],
        backbone="mlp:size=8",
        equal_compute="sgd",
        tasks=3,
        epochs=8,
        train_images=20,
        test_images=10,
    )
    with pytest.raises(UserError, match=r"'er:warmup_epochs=7': .* and it trains for [1-7] in all"):
        prepare_run(settings, note=lambda text: None)


@pytest.mark.parametrize("method", ["packnet", "supsup", "piggyback", "psp"])
def test_methods_on_weights_take_a_perceptron(method, capsys):
    assert main(["cost", "--methods", method, "--backbone", "mlp:size=8"]) == 0
    assert method in capsys.readouterr().out
