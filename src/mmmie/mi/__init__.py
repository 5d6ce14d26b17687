"""Mutual information: critics, lower and upper bounds, the sandwich, and the signs that a value is not to be believed.

Everything here is about tensors of distinct utterances and knows no corpus. Values are in nats, each says which side of
the truth it is on, and gradients flow to what is to be trained and nowhere else.
"""

from mmmie.mi.conditional import GaussianConditional
from mmmie.mi.critics import CRITICS, BilinearCritic, CosineCritic, MLPCritic
from mmmie.mi.diagnostics import mean_share, trace_covariance
from mmmie.mi.estimate import Estimate, Side, saturated, standard_error
from mmmie.mi.gaussian import copula_mi
from mmmie.mi.ksg import ksg
from mmmie.mi.lower_bounds import barber_agakov, donsker_varadhan, infonce, jsd_loss, jsd_value, nwj, smile
from mmmie.mi.negatives import Negatives, first_occurrences, negatives_mask, require_distinct, same_video_share
from mmmie.mi.rate import RateController
from mmmie.mi.sandwich import Sandwich, leave_one_out, sandwich
from mmmie.mi.upper_bounds import LearnedMarginal, known_noise_club, vclub, vib_learned_marginal

__all__ = [
    "CRITICS",
    "BilinearCritic",
    "CosineCritic",
    "Estimate",
    "GaussianConditional",
    "LearnedMarginal",
    "MLPCritic",
    "Negatives",
    "RateController",
    "Sandwich",
    "Side",
    "barber_agakov",
    "copula_mi",
    "donsker_varadhan",
    "first_occurrences",
    "infonce",
    "jsd_loss",
    "jsd_value",
    "known_noise_club",
    "ksg",
    "leave_one_out",
    "mean_share",
    "negatives_mask",
    "nwj",
    "require_distinct",
    "same_video_share",
    "sandwich",
    "saturated",
    "smile",
    "standard_error",
    "trace_covariance",
    "vclub",
    "vib_learned_marginal",
]
