"""The process and its threads: how the kernel's own are started, who watches its parent, what its children are, how it ends, and its last words.

Knows no other wing."""
