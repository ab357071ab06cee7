"""A report that sets trained runs side by side. `gen_jax.compare` is its command.

runs.py reads what training left, measure.py draws and times, figures.py matches the evaluations' figures by their
receipts, document.py puts all of it into tables, and charts.py, html.py and markdown.py show them.
"""
