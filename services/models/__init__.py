"""One folder per model. Nobody imports a model by name: `discover` finds them."""
