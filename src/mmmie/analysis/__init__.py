"""From a video to a result: the stages, and the typed result they end in."""
