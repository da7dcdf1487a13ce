"""How good a model is: pictures, masks, edits, views, shape, cameras and variety, each beside the data's own."""
