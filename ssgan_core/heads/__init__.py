"""Procedural portraits with exact masks, depth and cameras: a data set that needs no photos.

`sampler` draws an identity, `latent` writes it as numbers for a generative model, `sculpt` turns it into maps,
`fields` is the implicit surface, `tracing` casts rays, `shading` colours what they hit, `render` makes a view,
`synth` writes a data set.
"""
