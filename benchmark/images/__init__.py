"""From an image file to a minibatch."""
