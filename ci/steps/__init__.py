"""The steps of ci/test, ci/demo and ci/bench, run inside the builder root."""
