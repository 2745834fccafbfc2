"""How an interrupt, a signal or a message, reaches the code that it is for: which code may be interrupted (`protect`), and who tries, and when (`deliver`).

Knows `request` and `process`."""
