"""What theory says of signals in deep nets: of infinite width, and how a finite one differs."""
