"""The names of the metrics, apart from their computation, which needs heavy imports."""

METRIC_NAMES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "loss")
