"""The columns of the tables."""

from __future__ import annotations

ACCURACY_COLUMNS = ("method", "seed", "learned", "task", "task_name", "accuracy", "images")


TASK_COLUMNS = (
    "task",
    "task_name",
    "classes",
    "train_images",
    "validation_images",
    "test_images",
    "image_size",
    "fingerprint",
)


PARAMETER_COLUMNS = (
    "method",
    "backbone_parameters",
    "extra_parameters_per_task",
    "extra_parameters_percent",
    "head_parameters_per_task",
    "frozen_bytes",
    "shared_bytes",
    "task_bytes",
    "memory_bytes",
    "replay_bytes",
    "state_bytes",
    "stored_bytes",
    "stored_percent",
)


COMPUTE_COLUMNS = (
    "method",
    "training_flops",
    "normalized_compute",
    "training_seconds",
    "normalized_seconds",
    "inference_flops_per_image",
    "normalized_inference",
    "evaluation_seconds",
    "evaluations",
    "peak_memory_bytes",
    "features_cached",
)


SUMMARY_COLUMNS = (
    "method",
    "seeds",
    "status",
    "average_accuracy",
    "average_accuracy_ci95",
    "first_task_accuracy",
    "first_task_accuracy_ci95",
    "forgetting",
    "backward_transfer",
    "extra_parameters_percent",
    "normalized_compute",
    "normalized_seconds",
    "blocks",
    "first_task_drop",
    "first_task_drop_ci95",
    "stored_bytes",
    "stored_percent",
)
