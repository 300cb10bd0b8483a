"""The machine: environment, devices, threads, memory, CUDA, timers."""
