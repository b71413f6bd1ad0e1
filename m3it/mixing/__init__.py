"""Datasets trained together: one endless sequence of rows, resumed exactly. Needs the extra `train`."""
