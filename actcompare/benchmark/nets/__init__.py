"""What a swap of activations costs in a whole model of the user's."""
