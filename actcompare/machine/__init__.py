"""The machine: environment, devices, threads, memory, CUDA, stopwatches and paired timing."""
