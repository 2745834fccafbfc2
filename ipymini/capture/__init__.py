"""What is put in the place of other people's functions and streams, so that output, questions and loops of a cell are the kernel's to hand on.

Knows `interrupts`, `process`, `request`."""
