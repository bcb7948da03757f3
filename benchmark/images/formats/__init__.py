"""What the files of images hold: their formats, the depths of their values, and their sizes."""
