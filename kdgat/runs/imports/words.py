"""What other programs call a dataset, a model, a size, a seed and a figure."""

from __future__ import annotations

FACTS: dict[str, tuple[str, ...]] = {
    "dataset": ("dataset", "dataset_name", "data.dataset", "data.name", "dataset.name"),
    "model": ("model_type", "model", "model_name", "model.type", "model.name", "model.kind",
              "architecture"),
    "size": ("scale", "size", "model_size", "model.size", "role"),
    "seed": ("seed", "random_seed", "training.seed", "global_seed"),
    "stage": ("stage", "training_mode"),
}  # fmt: skip
"""Facts of a run, and the keys they are looked for under, the likeliest first."""
DISTILLED = ("use_kd", "has_kd", "kd.enabled", "distillation.enabled", "training.use_kd",
             "teacher_path", "teacher", "distillation.teacher")  # fmt: skip
"""Keys that tell of a teacher, when they hold something."""
FIELDS: dict[str, str] = {
    "training.lr": "training.learning_rate",
    "training.learning_rate": "training.learning_rate",
    "lr": "training.learning_rate",
    "learning_rate": "training.learning_rate",
    "training.max_epochs": "training.max_epochs",
    "training.epochs": "training.max_epochs",
    "max_epochs": "training.max_epochs",
    "epochs": "training.max_epochs",
    "training.weight_decay": "training.weight_decay",
    "weight_decay": "training.weight_decay",
    "window_size": "data.window_messages",
    "data.window_size": "data.window_messages",
}
"""Numbers that mean the same here, and their names here."""
MODELS = {
    "gat": "gat", "vgae": "vgae", "dqn": "fusion", "fusion": "fusion", "mlp": "mlp",
    "gradient_boosting": "gradient_boosting", "temporal": "temporal", "gat_student": "gat",
    "vgae_student": "vgae",
}  # fmt: skip
STAGES = {"gat": "classifier", "vgae": "autoencoder", "fusion": "fusion", "mlp": "mlp",
          "gradient_boosting": "gradient_boosting"}  # fmt: skip
"""The stage that a kind of model belongs to; another is its own."""
OF_STAGE = {"curriculum": "gat", "normal": "gat", "classifier": "gat", "autoencoder": "vgae",
            "fusion": "fusion"}  # fmt: skip
"""The model that a stage of the predecessor trained."""
SIZES = {"large": "large", "teacher": "large", "medium": "medium", "small": "small",
         "student": "small"}  # fmt: skip
SPLITS = {
    "test": "test", "testing": "test", "held_out": "test", "val": "validation",
    "valid": "validation", "validation": "validation", "dev": "validation", "train": "train",
    "training": "train",
}  # fmt: skip
SECTIONS = frozenset({"core", "additional"})
"""Parts of the predecessor's `metrics.json`; outside of `test` they are of validation windows."""
AROUND = frozenset({"metrics", "results", "scenarios", "test_scenarios", "final", "best"})
"""Words around figures that say nothing of them."""
FIGURES = {
    "f1": "f1", "f1_score": "f1", "f1-score": "f1", "accuracy": "accuracy", "acc": "accuracy",
    "precision": "precision", "prec": "precision", "recall": "recall", "tpr": "recall",
    "sensitivity": "recall", "detection_rate": "recall", "auc": "auroc", "auroc": "auroc",
    "roc_auc": "auroc", "auprc": "auprc", "pr_auc": "auprc", "average_precision": "auprc",
    "mcc": "mcc", "specificity": "specificity", "tnr": "specificity", "n_samples": "windows",
}  # fmt: skip
"""Figures by what they are called elsewhere; of several names of one the first counts."""
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors", ".joblib", ".pkl")
"""Endings of files that hold a model. They are copied and never opened."""
