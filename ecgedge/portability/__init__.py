"""Whether a file answers alike with other kernels, and on other processors."""
