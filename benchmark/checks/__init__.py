"""The contract of a method, a stream and a backbone, as checks that anybody can run on their own."""
