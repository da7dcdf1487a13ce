"""Editing portraits through their codes."""
