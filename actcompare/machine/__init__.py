"""The machine: environment, devices, threads, memory, CUDA and timers."""
