"""What a representation is like beside its nats: the signs of collapse.

N: utterances; D: width of the representation.
"""

from torch import Tensor

from mmmie.errors import TrainingError


def mean_share(representation_ND: Tensor) -> Tensor:
    """|E F|^2 / E|F|^2: the share of a representation's square that is the same for every utterance.

    Scalar in [0, 1]. Near 1 the representation has collapsed to one direction, whatever its LayerNorm: minimising
    vCLUB on a deterministic encoder took it to .999 while the task still read the rest. 0 for an all-zero F.
    """
    total = representation_ND.square().sum(1).mean()
    return representation_ND.mean(0).square().sum() / total.clamp_min(1e-30)


def trace_covariance(representation_ND: Tensor) -> Tensor:
    """tr Cov F (ddof 1): the control in place of a MI minimum, and the sign of collapse beside `mean_share`.

    Scalar with its gradient, in units of F squared: no nats and no bound. What it achieves at equal weight is not to
    be credited to mutual information: on a deterministic encoder vCLUB is little more than this.

    Raises:
        TrainingError: fewer than two utterances have no covariance.
    """
    if len(representation_ND) < 2:
        raise TrainingError(
            f"a covariance needs at least 2 utterances, but came {len(representation_ND)}. "
            "Leave the term out for this batch, or raise training.batch_utterances."
        )
    return representation_ND.var(0).sum()
