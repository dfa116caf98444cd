"""What resampling does to image classifiers: `python -m studies NAME` from the checkout."""
