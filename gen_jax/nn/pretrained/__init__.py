"""Networks that others trained: weights.py finds, checks and reads their files, torch_file.py without PyTorch; lpips.py
is a distance between two images. Feature networks of metrics are in evals/features.
"""
