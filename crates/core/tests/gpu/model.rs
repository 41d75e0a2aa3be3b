//! Whole models on the GPU against the CPU engine.
