"""The networks: mapping, part generators, upsampler, discriminator, and the generator that wires them."""
