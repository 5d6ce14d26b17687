"""Whether an utterance lies outside what training saw: a distance of its features, judged against whole unseen videos.

The distance is taken where features enter the network and not in its representations, which forget what they were not
trained to tell: MOSI audio whose columns were shuffled or multiplied by three was found unusual in 0 to 55 % of the
utterances by its representation, and in 100 % by its features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]

PROJECTED_DIM = 128
"""Wider features are projected to this many dimensions by random signs, which keeps distances to about a tenth."""
SHRINKAGE = 0.01
"""Share of the mean variance that is added to every direction, so that constant ones do not decide."""
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Familiarity:
    """One modality's features in training: their moments, and how far videos lie that the moments did not see."""

    mean_P: Doubles
    root_PP: Doubles
    """What makes the features white: the covariance's inverse is its product with its transpose."""
    distances_R: Doubles
    """Ascending, of the reference utterances."""
    weights_R: Doubles
    """Of the same: one over the number of utterances of their video."""

    @property
    def num_videos(self) -> int:
        return round(float(self.weights_R.sum()))

    def distances(self, features_NP: Singles) -> Doubles:
        """(N,) squared Mahalanobis distances to the mean."""
        return _distances(features_NP, self.mean_P, self.root_PP)

    def p_values(self, features_NP: Singles) -> Doubles:
        """(N,) in (0, 1]: at least as far lie the utterances of a new video by chance.

        With K reference videos the smallest is 1 / (K + 1), so that few videos call nothing unfamiliar.

        Source: V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (2005), 2.2, with each video
        counted once as in Y. Lee, R. F. Barber, R. Willett, Distribution-free inference with hierarchical data (2023).
        """
        farther = np.append(np.cumsum(self.weights_R[::-1])[::-1], 0.0)
        at_least = farther[np.searchsorted(self.distances_R, self.distances(features_NP), side="left")]
        return np.asarray((1 + at_least) / (1 + self.num_videos))

    def arrays(self) -> dict[str, Doubles]:
        """By name, as they are stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def learn_familiarity(
    train_NP: Singles, train_videos: Sequence[str], valid_NP: Singles, valid_videos: Sequence[str]
) -> Familiarity | None:
    """Learns moments from train, and distances of valid and, in folds by video, of train itself.

    Returns None where train has fewer than two videos.
    """
    _, codes = np.unique(np.asarray(train_videos), return_inverse=True)
    if not len(train_NP) or codes.max() < 1:
        return None
    distances = [_distances(valid_NP, *_moments(train_NP))]
    order = [np.asarray(valid_videos)]
    for fold in range(min(FOLDS, int(codes.max()) + 1)):
        held_out = codes % FOLDS == fold
        distances.append(_distances(train_NP[held_out], *_moments(train_NP[~held_out])))
        order.append(np.asarray(train_videos)[held_out])
    distances_R, videos_R = np.concatenate(distances), np.concatenate(order)
    _, video_R, sizes = np.unique(videos_R, return_inverse=True, return_counts=True)
    ascending = np.argsort(distances_R, kind="stable")
    return Familiarity(*_moments(train_NP), distances_R[ascending], (1 / sizes)[video_R][ascending])


def project(features_NX: Singles) -> Singles:
    """(N, P) features of at most `PROJECTED_DIM` columns; narrower ones are as they were."""
    width = features_NX.shape[1]
    if width <= PROJECTED_DIM:
        return features_NX
    # The raw stream of a bit generator is the same in every version of numpy; the distributions' streams are not.
    words = np.random.PCG64(0).random_raw(width * PROJECTED_DIM // 64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8)).reshape(width, PROJECTED_DIM)
    signs = (2 * bits.astype(np.float32) - 1) / np.float32(np.sqrt(width))
    return np.asarray(features_NX @ signs)


def _moments(features_NP: Singles) -> tuple[Doubles, Doubles]:
    values = features_NP.astype(np.float64)
    mean = values.mean(axis=0)
    centred = values - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(values))
    floor = max(SHRINKAGE * float(variances.mean()), np.finfo(np.float32).tiny)
    return mean, directions / np.sqrt(np.maximum(variances, 0) + floor)


def _distances(features_NP: Singles, mean_P: Doubles, root_PP: Doubles) -> Doubles:
    white = (features_NP.astype(np.float64) - mean_P) @ root_PP
    return np.asarray(np.square(white).sum(axis=1))
