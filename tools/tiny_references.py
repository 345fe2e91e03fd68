"""Forward passes in plain PyTorch for families that transformers has no code of its own for. They follow the formulas of
the authors' files: InternLM2 (modeling_internlm2.py) groups the rows of `wqkv` by key head; Baichuan puts queries, keys
and values one behind the other in `W_pack`, the models without `max_position_embeddings` in their config take ALiBi, and
Baichuan2 normalises the rows of its head."""
import math

import torch
import torch.nn.functional as F


def names_and_shapes(config: dict) -> dict:
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    kv = config.get("num_key_value_heads") or heads
    dim = hidden // heads
    intern = config["model_type"] == "internlm2"
    shapes = {"model.norm.weight": (hidden,), ("output" if intern else "lm_head") + ".weight": (config["vocab_size"], hidden)}
    shapes["model.tok_embeddings.weight" if intern else "model.embed_tokens.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        for name, shape in layer_shapes(intern, hidden, inner, (heads + 2 * kv) * dim).items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    return shapes


def layer_shapes(intern: bool, hidden: int, inner: int, fused: int) -> dict:
    if intern:
        return {"attention_norm.weight": (hidden,), "ffn_norm.weight": (hidden,),
                "attention.wqkv.weight": (fused, hidden), "attention.wqkv.bias": (fused,),
                "attention.wo.weight": (hidden, hidden), "attention.wo.bias": (hidden,),
                "feed_forward.w1.weight": (inner, hidden), "feed_forward.w3.weight": (inner, hidden),
                "feed_forward.w2.weight": (hidden, inner)}  # fmt: skip
    return {"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,),
            "self_attn.W_pack.weight": (fused, hidden), "self_attn.o_proj.weight": (hidden, hidden),
            "mlp.gate_proj.weight": (inner, hidden), "mlp.up_proj.weight": (inner, hidden),
            "mlp.down_proj.weight": (hidden, inner)}  # fmt: skip


def linears(config: dict) -> list:
    return sorted(name[: -len(".weight")] for name, shape in names_and_shapes(config).items()
                  if ".layers." in name and len(shape) == 2)  # fmt: skip


def rotated(x: torch.Tensor, theta: float) -> torch.Tensor:
    """x [heads, tokens, dim], halves of each head in pairs."""
    dim = x.shape[-1]
    frequency = 1.0 / theta ** (torch.arange(0, dim, 2).float() / dim)
    angle = torch.outer(torch.arange(x.shape[1]).float(), frequency)
    cos, sin = torch.cat((angle, angle), -1).cos(), torch.cat((angle, angle), -1).sin()
    return x * cos + torch.cat((-x[..., dim // 2 :], x[..., : dim // 2]), -1) * sin


def slopes(heads: int) -> torch.Tensor:
    def powers(count: int) -> list:
        return [2 ** (-8 / count * (k + 1)) for k in range(count)]

    near = 2 ** math.floor(math.log2(heads))
    return torch.tensor(powers(near) + powers(2 * near)[0::2][: heads - near])


def rms(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def attention(qkv: torch.Tensor, config: dict) -> torch.Tensor:
    tokens, heads = qkv.shape[0], config["num_attention_heads"]
    kv = config.get("num_key_value_heads") or heads
    dim = config["hidden_size"] // heads
    if config["model_type"] == "internlm2":
        grouped = qkv.view(tokens, kv, heads // kv + 2, dim)
        q, k, v = grouped[:, :, :-2].reshape(tokens, heads, dim), grouped[:, :, -2], grouped[:, :, -1]
    else:
        q, k, v = (part.view(tokens, heads, dim) for part in qkv.chunk(3, -1))
    q, k, v = (part.transpose(0, 1) for part in (q, k, v))
    alibi = config["model_type"] == "baichuan" and config.get("max_position_embeddings") is None
    if not alibi:
        theta = config.get("rope_theta") or 10000.0
        q, k = rotated(q, theta), rotated(k, theta)
    k, v = (part.repeat_interleave(heads // kv, 0) for part in (k, v))
    scores = q @ k.transpose(1, 2) / math.sqrt(dim)
    if alibi:
        scores = scores + slopes(heads)[:, None, None] * torch.arange(tokens)
    scores = scores.masked_fill(torch.ones(tokens, tokens).triu(1).bool(), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).reshape(tokens, -1)


def logits(weights: dict, config: dict, ids: torch.Tensor) -> torch.Tensor:
    intern, eps = config["model_type"] == "internlm2", config["rms_norm_eps"]
    h = weights["model.tok_embeddings.weight" if intern else "model.embed_tokens.weight"][ids]
    norms = ("attention_norm", "ffn_norm") if intern else ("input_layernorm", "post_attention_layernorm")
    qkv, o = ("attention.wqkv", "attention.wo") if intern else ("self_attn.W_pack", "self_attn.o_proj")
    mlp = [f"feed_forward.{name}" for name in ("w1", "w3", "w2")] if intern else [
        f"mlp.{name}_proj" for name in ("gate", "up", "down")]  # fmt: skip
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."

        def linear(name: str, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, weights[prefix + name + ".weight"], weights.get(prefix + name + ".bias"))

        h = h + linear(o, attention(linear(qkv, rms(h, weights[prefix + norms[0] + ".weight"], eps)), config))
        x = rms(h, weights[prefix + norms[1] + ".weight"], eps)
        h = h + linear(mlp[2], F.silu(linear(mlp[0], x)) * linear(mlp[1], x))
    head = weights["output.weight" if intern else "lm_head.weight"]
    if config.get("z_loss_weight") is not None:
        head = F.normalize(head)
    return rms(h, weights["model.norm.weight"], eps) @ head.T
