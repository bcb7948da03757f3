"""A method, a stream and a backbone, which setup.cfg announces to the benchmark."""
