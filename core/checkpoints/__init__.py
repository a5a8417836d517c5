"""Checkpoints: safetensors, GGUF and LoRA adapters, read tensor by tensor."""
