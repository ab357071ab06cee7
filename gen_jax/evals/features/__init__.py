"""Feature networks: what an image is to a metric. inception.py, dinov2.py and own.py each give a `Network`.

extract.py runs one over images; resize.py brings images to its size; nn/pretrained finds, checks and reads published
weights.
"""
