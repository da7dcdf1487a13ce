"""Portraits with part masks and cameras on disk: a folder or a stored zip.

images/00000/name.png   colour, square, one size for all
masks/00000/name.png    indexed PNG, part ids
depth/00000/name.png    16-bit z_cam, where it is known
dataset.json            EG3D's labels: {"labels": [["00000/name.png", [25 numbers]], ...]}
images/dataset.json     the same again: images/ alone is a data set for EG3D
parts.json              the part schema
meta.jsonl              one line an entry: where it comes from
options.json            how it is to be read, if anything was asked for
"""
