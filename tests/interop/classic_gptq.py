"""GPTQ as published, in the classic form: Frantar et al. 2022, arXiv 2210.17323, and the AutoGPTQ line of programs.

Cholesky factor of the inverse Hessian, columns one by one in natural order, blocks of 128, symmetric grid whose scale
is found from the already updated weights when the solve enters a group, damping 1 % of the mean diagonal.
The peer that compare_solver.py measures Hesse against; readable first, fast second. Where the published programs
differ from the paper, the choice here favours the classic method:
  * a group that starts inside a block sees the feedback of its earlier columns (the programs use stale values);
  * a group of one sign gets the same symmetric range as any other (the programs clip it);
  * scales stay in full precision (files round them to fp16), unless half_scales is set: then codes are chosen on the
    scales that the file will hold.
"""
import torch


def symmetric_scale(group: torch.Tensor, bits: int, half: bool = False) -> torch.Tensor:
    """group [rows, columns] -> step [rows, 1]: the range -max|w| to max|w| cut into 2^bits - 1 steps."""
    largest = group.abs().amax(dim=1, keepdim=True)
    largest = torch.where(largest == 0, torch.ones_like(largest), largest)
    scale = 2 * largest / (2**bits - 1)
    return scale.to(torch.float16).to(scale.dtype) if half else scale


def round_to_grid(w: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    zero = 2 ** (bits - 1)
    codes = torch.clamp(torch.round(w / scale) + zero, 0, 2**bits - 1)
    return scale * (codes - zero)


def group_starts(columns: int, group_size: int) -> range:
    return range(0, columns, columns if group_size == -1 else group_size)


def rtn(W: torch.Tensor, bits: int, group_size: int) -> torch.Tensor:
    """Round to nearest on the same grid; W [out, in] -> dequantized [out, in]."""
    starts = group_starts(W.shape[1], group_size)
    Q = torch.empty_like(W)
    for start in starts:
        stop = min(start + starts.step, W.shape[1])
        Q[:, start:stop] = round_to_grid(W[:, start:stop], symmetric_scale(W[:, start:stop], bits), bits)
    return Q


def inverse_factor(H: torch.Tensor, damping: float) -> torch.Tensor:
    """Upper triangular U with U^T U = (H + damping * mean(diag H) * I)^-1."""
    damped = H + damping * H.diagonal().mean() * torch.eye(H.shape[0], dtype=H.dtype)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)


def classic_gptq(
    W: torch.Tensor, H: torch.Tensor, bits: int, group_size: int, damping: float = 0.01, block: int = 128,
    half_scales: bool = False,
) -> torch.Tensor:
    """W [out, in], H [in, in] = sum of x x^T -> dequantized Q [out, in], all in the precision of W."""
    W, H = W.clone(), H.to(W.dtype).clone()
    columns = W.shape[1]
    dead = H.diagonal() == 0
    H[dead, dead] = 1
    W[:, dead] = 0
    U = inverse_factor(H, damping)
    starts = group_starts(columns, group_size)
    Q = torch.zeros_like(W)
    for first in range(0, columns, block):
        last = min(first + block, columns)
        errors = torch.zeros_like(W[:, first:last])
        for k in range(first, last):
            if k in starts:
                stop = min(k + starts.step, columns)
                # Columns past the block have not had this block's feedback yet.
                beyond = W[:, last:stop] - errors @ U[first:last, last:stop]
                scale = symmetric_scale(torch.cat([W[:, k : min(last, stop)], beyond], dim=1), bits, half_scales)
            Q[:, k] = round_to_grid(W[:, k : k + 1], scale, bits)[:, 0]
            errors[:, k - first] = (W[:, k] - Q[:, k]) / U[k, k]
            W[:, k:last] -= torch.outer(errors[:, k - first], U[k, k:last])
        W[:, last:] -= errors @ U[first:last, last:]
    return Q


def loss(W: torch.Tensor, Q: torch.Tensor, H: torch.Tensor) -> float:
    """Relative output error tr(E H E^T) / tr(W H W^T), E = W - Q, in float64."""
    W, Q, H = W.double(), Q.double(), H.double()
    E = W - Q
    return (((E @ H) * E).sum() / ((W @ H) * W).sum()).item()
