"""The names of the CSV files' columns, in their order. results/columns.py explains those of measurements."""

from __future__ import annotations

from benchmark.results.columns import names_of

ACCURACY_COLUMNS = ("method", "seed", "learned", "task", "task_name", "accuracy", "images")

#: accuracy.csv of a run with several orders; with one order, it has no column of orders.
ALL_ACCURACY_COLUMNS = (*ACCURACY_COLUMNS, "order", "answer")

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

PARAMETER_COLUMNS = names_of("parameters")
COMPUTE_COLUMNS = names_of("compute")
SUMMARY_COLUMNS = names_of("summary")
RANK_COLUMNS = names_of("ranks")
PAIR_COLUMNS = names_of("statistics")
CLASS_COLUMNS = names_of("classes")
EPOCH_COLUMNS = names_of("epochs")
INFERENCE_COLUMNS = names_of("inference")
EFFICIENCY_COLUMNS = names_of("efficiency")
REPRODUCTION_COLUMNS = names_of("reproduction")
