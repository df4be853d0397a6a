"""Tiny configurations that the model tests share."""

PARCEL = {
    "hidden_size": 16,
    "decoder_hidden_size": 16,
    "num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1,
    "num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_intermediate_size": 32,
    "conv_kernel_size": 5,
    "timepoint_patching_size": 20,
    "initializer_range": 0.3,
}
IMAGE = {
    "hidden_size": 16,
    "decoder_hidden_size": 16,
    "num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1,
    "num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_intermediate_size": 32,
    "initializer_range": 0.2,
}
