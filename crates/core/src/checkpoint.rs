//! Checkpoints: Hugging Face folders as named byte blobs.
