import pytest
import torch

from mmmie.errors import TrainingError
from mmmie.mi import first_occurrences, negatives_mask, require_distinct, same_video_share


def test_first_occurrences_keep_the_order():
    rows_N = torch.tensor([7, 3, 7, 9, 3, 3, 1])
    positions_M = first_occurrences(rows_N)
    assert positions_M.tolist() == [0, 1, 3, 6]
    assert rows_N[positions_M].tolist() == [7, 3, 9, 1]
    assert first_occurrences(torch.tensor([4, 2, 8])).tolist() == [0, 1, 2]
    assert first_occurrences(torch.tensor([5])).tolist() == [0]
    assert first_occurrences(torch.tensor([], dtype=torch.long)).tolist() == []


def test_repeats_are_refused_with_their_rows():
    require_distinct(torch.tensor([4, 2, 8]))
    with pytest.raises(TrainingError, match=r"3 of 7 rows are repeats: utterance 3 is in rows 1, 4, 5"):
        require_distinct(torch.tensor([7, 3, 7, 9, 3, 3, 1]))


def test_masks_of_the_three_choices():
    video_N = torch.tensor([0, 0, 1])
    assert negatives_mask(video_N).tolist() == [[False, True, True], [True, False, True], [True, True, False]]
    assert negatives_mask(video_N, "across_videos").tolist() == [
        [False, False, True],
        [False, False, True],
        [True, True, False],
    ]
    assert negatives_mask(video_N, "within_video").tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]
    with pytest.raises(TrainingError, match="Did you mean 'across_videos'"):
        negatives_mask(video_N, "accross_videos")


def test_share_of_negatives_of_the_same_video():
    video_N = torch.tensor([0, 0, 1, 1])
    assert same_video_share(video_N) == pytest.approx(4 / 12)
    assert same_video_share(video_N, negatives_mask(video_N, "across_videos")) == 0
    assert same_video_share(video_N, negatives_mask(video_N, "within_video")) == 1
    assert same_video_share(torch.tensor([3])) == 0
