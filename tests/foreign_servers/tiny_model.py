"""A model file for llama.cpp that needs no download: a llama of one layer with random weights, a megabyte small.

It writes printable nonsense, one character a token. So a test can rely on the protocol of its server, and on a schema
that the server enforces, but on no word of an answer. The format is GGUF version 3: header, metadata, tensor infos,
aligned tensors.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

_MAGIC, _VERSION, _ALIGNMENT = b"GGUF", 3, 32
_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_F32_TENSOR = 0
_WIDTH, _INNER, _HEADS, _CONTEXT = 64, 128, 4, 16_384
# The kinds of tokens of a SentencePiece vocabulary.
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
_KINDS = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, _NORMAL]
# Larger weights would repeat a few tokens for ever.
_SPREAD = 0.05
# The first number of each state is the same for all tokens, and no layer changes it. So its weight in the output makes
# a token likely or impossible, whatever was read before.
_STEADY, _LIKELY, _NEVER = 1.0, 0.2, -100.0
_END, _QUOTE = 2, 3 + ord('"')
# Without these a number is 0, 9, 0.9, 99 and the like: mostly a share that a person would understand.
_UNUSED = frozenset(3 + ord(character) for character in "12345678eE+-")

Value = int | float | str | Sequence[int] | Sequence[float] | Sequence[str]
Shape = tuple[int, ...]


def write_tiny_model(path: Path, *, endless: bool = False) -> Path:
    """Writes the model file and returns its path. An `endless` model never stops by itself."""
    metadata, shapes = _metadata(), _shapes()
    numbers = random.Random(1)
    head = struct.pack("<4sIQQ", _MAGIC, _VERSION, len(shapes), len(metadata))
    head += b"".join(_string(key) + _typed(value) for key, value in metadata.items())
    head += _tensor_infos(shapes)
    with path.open("wb") as file:
        file.write(_padded(head))
        for name, shape in shapes.items():
            weights = _random_weights(name, shape, numbers)
            _steer(name, weights, endless=endless)
            file.write(_padded(struct.pack(f"<{len(weights)}f", *weights)))
    return path


def _metadata() -> Mapping[str, Value]:
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.alignment": _ALIGNMENT,
        "llama.block_count": 1,
        "llama.context_length": _CONTEXT,
        "llama.embedding_length": _WIDTH,
        "llama.feed_forward_length": _INNER,
        "llama.attention.head_count": _HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": _WIDTH // _HEADS,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": _TOKENS,
        "tokenizer.ggml.scores": [0.0] * len(_TOKENS),
        "tokenizer.ggml.token_type": _KINDS,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def _shapes() -> Mapping[str, Shape]:
    """Returns the shapes by name, the length of a row first."""
    square: Shape = (_WIDTH, _WIDTH)
    return {
        "token_embd.weight": (_WIDTH, len(_TOKENS)),
        "output_norm.weight": (_WIDTH,),
        "output.weight": (_WIDTH, len(_TOKENS)),
        "blk.0.attn_norm.weight": (_WIDTH,),
        **{f"blk.0.attn_{part}.weight": square for part in ("q", "k", "v", "output")},
        "blk.0.ffn_norm.weight": (_WIDTH,),
        "blk.0.ffn_gate.weight": (_WIDTH, _INNER),
        "blk.0.ffn_up.weight": (_WIDTH, _INNER),
        "blk.0.ffn_down.weight": (_INNER, _WIDTH),
    }


def _tensor_infos(shapes: Mapping[str, Shape]) -> bytes:
    infos, offset = b"", 0
    for name, shape in shapes.items():
        infos += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _F32_TENSOR, offset)
        size = 4 * prod(shape)
        offset += size + -size % _ALIGNMENT
    return infos


def _random_weights(name: str, shape: Shape, numbers: random.Random) -> list[float]:
    count = prod(shape)
    return [1.0] * count if "norm" in name else [numbers.gauss(0, _SPREAD) for _ in range(count)]


def _steer(name: str, weights: list[float], *, endless: bool) -> None:
    if name == "token_embd.weight":
        weights[::_WIDTH] = [_STEADY] * len(_TOKENS)
    elif name == "output.weight":
        weights[::_WIDTH] = [_preference(token, endless=endless) for token in range(len(_TOKENS))]
    elif name == "blk.0.attn_output.weight":
        weights[:_WIDTH] = [0.0] * _WIDTH
    elif name == "blk.0.ffn_down.weight":
        weights[:_INNER] = [0.0] * _INNER


def _preference(token: int, *, endless: bool) -> float:
    if token == _END:
        return _NEVER if endless else 0.0
    if token == _QUOTE:  # the strings of structured output come to an end
        return _LIKELY
    return 0.0 if 3 + ord(" ") <= token <= 3 + ord("~") and token not in _UNUSED else _NEVER


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _typed(value: Value) -> bytes:
    if isinstance(value, str | int | float):
        kind, encoded = _scalar(value)
        return struct.pack("<I", kind) + encoded
    items = [_scalar(item, in_array=True) for item in value]
    return struct.pack("<IIQ", _ARRAY, items[0][0], len(items)) + b"".join(encoded for _, encoded in items)


def _scalar(value: str | float, *, in_array: bool = False) -> tuple[int, bytes]:
    if isinstance(value, str):
        return _STRING, _string(value)
    if isinstance(value, int):
        return (_INT32, struct.pack("<i", value)) if in_array else (_UINT32, struct.pack("<I", value))
    return _FLOAT32, struct.pack("<f", value)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % _ALIGNMENT)
