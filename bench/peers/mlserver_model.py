"""Scaler and classifier as one pipeline, as MLServer loads it: ``python mlserver_model.py MODEL_FOLDER FILE``."""

import sys
from pathlib import Path

import joblib
from sklearn.pipeline import make_pipeline

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    classifier = joblib.load(folder / "model.joblib")
    if hasattr(classifier, "n_jobs"):
        classifier.set_params(n_jobs=1)  # threads cost a single row more than they save
    joblib.dump(make_pipeline(joblib.load(folder / "scaler.joblib"), classifier), sys.argv[2])
