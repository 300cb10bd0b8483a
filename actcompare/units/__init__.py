"""What a layer's units do."""
