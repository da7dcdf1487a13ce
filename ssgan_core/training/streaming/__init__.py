"""Synthetic portraits rendered by worker processes while training runs.

`spec` reads the user's words, `order` says which portrait stands at which position of the stream, `slots` is the
shared memory between the processes, `renderer` is whoever makes the views of an identity, `heads` does it, `worker`
is what a process runs, `buffer` starts the processes and waits for them, `source` makes batches of it all. Only
`source` knows torch: the worker processes must start quickly and stay small.
"""
