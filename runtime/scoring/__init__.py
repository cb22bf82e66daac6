"""Scoring of whole files: Parquet or CSV in, Parquet out, with bounded memory and without losing a row."""
