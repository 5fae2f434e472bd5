"""Search of hyper-parameters without target labels."""
