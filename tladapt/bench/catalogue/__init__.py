"""The benchmarks that come with tladapt, one a file."""
