"""Labels that modalities learn, by hand."""

import math

import pytest
import torch
from torch import Tensor

from mmmie.models.baselines.self_mm import SelfMMLosses, SelfMMOptions, generated_label, relative_distance
from mmmie.models.systems import Reading

WIDTH = 2


def test_label_moves_by_the_nearness_of_its_features() -> None:
    # Label 1, alpha_s 2 against alpha_m 1: as a ratio 2, as a difference 2; against alpha_s 1/2: 1/2 both.
    label, joint = torch.tensor([1.0, 1.0]), torch.tensor([1.0, 1.0])
    assert generated_label(label, torch.tensor([2.0, 0.5]), joint, 9.0).tolist() == pytest.approx([2.0, 0.5])
    # Label -1.5, alpha_m -.5, alpha_s .25: ratio .75, difference -.75; mean 0.
    mean = generated_label(torch.tensor(-1.5), torch.tensor(0.25), torch.tensor(-0.5), 9.0)
    assert float(mean) == pytest.approx(0.0)


def test_label_is_clipped_and_stays_finite_where_the_joint_features_are_undecided() -> None:
    assert float(generated_label(torch.tensor(1.0), torch.tensor(3.0), torch.tensor(0.0), 2.5)) == 2.5
    assert float(generated_label(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0.0), 2.5)) == pytest.approx(
        0.0, abs=1e-5
    )


def test_relative_distance_by_hand() -> None:
    # Positive centre (3, 4), negative (0, 0); features (0, 0) are 5 and 0 away, (3, 0) 4 and 3.
    centre_S2D = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    nearer_BS = relative_distance(torch.tensor([[[0.0, 0.0]], [[3.0, 0.0]]]), centre_S2D)
    assert nearer_BS[:, 0].tolist() == pytest.approx([-1.0, -0.25], abs=1e-5)


def losses_that_pass_features_on(num_utterances: int = 4, modalities: tuple[str, ...] = ("text",)) -> SelfMMLosses:
    losses = SelfMMLosses(SelfMMOptions(limit=9.0), modalities, WIDTH, num_utterances)
    for feature in losses.features:
        feature[0].load_state_dict({"weight": torch.eye(WIDTH), "bias": torch.zeros(WIDTH)})
    return losses


def reading(text_BD: Tensor, joint_BD: Tensor, there_BM: Tensor | None = None) -> Reading:
    there_BM = torch.ones(len(text_BD), 1, dtype=torch.bool) if there_BM is None else there_BM
    kept = {"vectors_BMD": text_BD[:, None], "joint_BD": joint_BD, "there_BM": there_BM}
    return Reading(torch.zeros(len(text_BD)), kept)


TEXT = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
JOINT = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
LABEL = torch.tensor([1.0, -1.0])
ROWS = torch.tensor([3, 1])


def test_first_visit_takes_the_joint_label_and_the_second_moves_it_by_two_thirds() -> None:
    losses = losses_that_pass_features_on()
    (first,) = losses(reading(TEXT, JOINT), LABEL, ROWS)
    assert float(first.value.detach()) == 0.0, "labels that are one have no task of their own"
    assert losses.label_NM[:, 0].tolist() == [0.0, -1.0, 0.0, 1.0]
    assert losses.visits_N.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(losses.centre_S2D, torch.stack([TEXT, JOINT]))
    # Utterance 3 now: text (4, 3) is 3 from positive (4, 0) and sqrt 17 from negative (0, 4); joint (1, 0) is 1 from
    # (2, 0) and sqrt 5 from (0, 2).
    text, joint = torch.tensor([[4.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    own, whole = (math.sqrt(17) - 3) / 3, math.sqrt(5) - 1
    fresh = (own / whole + 1 + own - whole) / 2
    losses(reading(text, joint), LABEL[:1], ROWS[:1])
    moved = 1 / 3 * 1.0 + 2 / 3 * fresh
    assert float(losses.label_NM[3, 0]) == pytest.approx(moved, abs=1e-5)
    assert float(losses.label_NM[1, 0]) == -1.0, "others rest"
    # A third visit finds the weight tanh |y_s - y_m| on its error, and keeps half.
    losses.eval()
    (third,) = losses(reading(text, joint), LABEL[:1], ROWS[:1])
    score = losses.heads[0](text).squeeze().detach()
    assert float(third.value.detach()) == pytest.approx(math.tanh(abs(moved - 1)) * abs(float(score) - moved), abs=1e-5)


def test_an_utterance_seen_for_the_first_time_rests_though_the_centres_are_known() -> None:
    losses = losses_that_pass_features_on()
    losses(reading(TEXT, JOINT), LABEL, ROWS)
    losses(reading(torch.tensor([[4.0, 3.0]]), torch.tensor([[1.0, 0.0]])), torch.tensor([0.5]), torch.tensor([0]))
    assert float(losses.label_NM[0, 0]) == 0.5


def test_evaluation_changes_nothing() -> None:
    losses = losses_that_pass_features_on()
    losses(reading(TEXT, JOINT), LABEL, ROWS)
    before = {name: buffer.clone() for name, buffer in losses.named_buffers()}
    losses.eval()
    losses(reading(TEXT + 1, JOINT), LABEL, ROWS)
    for name, buffer in losses.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_a_missing_modality_rests_and_moves_no_centre() -> None:
    losses = losses_that_pass_features_on()
    losses(reading(TEXT, JOINT), LABEL, ROWS)
    losses(reading(TEXT * 5, JOINT, torch.zeros(2, 1, dtype=torch.bool)), LABEL, ROWS)
    assert losses.label_NM[ROWS, 0].tolist() == [1.0, -1.0]
    torch.testing.assert_close(losses.centre_S2D[0], TEXT)


def test_order_within_a_batch_does_not_matter_and_state_can_be_taken_up() -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(4, WIDTH), torch.randn(4, WIDTH).abs(), torch.randn(4)) for _ in range(4)]
    one, other = losses_that_pass_features_on(), losses_that_pass_features_on()
    for text, joint, label in batches[:2]:
        order = torch.tensor([2, 0, 3, 1])
        one(reading(text, joint), label, torch.arange(4))
        other(reading(text[order], joint[order]), label[order], torch.arange(4)[order])
    resumed = losses_that_pass_features_on()
    resumed.load_state_dict(other.state_dict())
    for text, joint, label in batches[2:]:
        one(reading(text, joint), label, torch.arange(4))
        resumed(reading(text, joint), label, torch.arange(4))
    for name, buffer in one.named_buffers():
        torch.testing.assert_close(resumed.get_buffer(name), buffer)
    assert float((one.label_NM[:, 0] - batches[-1][2]).abs().max()) > 0.1, "labels have moved"
