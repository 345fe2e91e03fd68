"""Tests of classic_gptq.py: true properties of the method, and a second implementation that shares no step with it."""
import unittest

import torch

from classic_gptq import classic_gptq, loss, round_to_grid, rtn, symmetric_scale

SEED = 20221031


def correlated_hessian(size: int, tokens: int, generator: torch.Generator) -> torch.Tensor:
    mix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    spread = torch.logspace(0, -2, size, dtype=torch.float64)
    X = torch.randn(tokens, size, generator=generator, dtype=torch.float64) * spread @ mix
    return X.T @ X


def brain_surgeon(W, H, bits, group_size, damping=0.01):
    """The update rule before any factorisation: eliminate one column after the other from the explicit inverse."""
    W, columns = W.clone(), W.shape[1]
    inverse = torch.linalg.inv(H + damping * H.diagonal().mean() * torch.eye(columns, dtype=H.dtype))
    Q = torch.zeros_like(W)
    for k in range(columns):
        if k % group_size == 0:
            scale = symmetric_scale(W[:, k : k + group_size], bits)
        Q[:, k] = round_to_grid(W[:, k : k + 1], scale, bits)[:, 0]
        W -= torch.outer((W[:, k] - Q[:, k]) / inverse[k, k], inverse[k])
        inverse -= torch.outer(inverse[:, k], inverse[k]) / inverse[k, k]
    return Q


class ClassicGptq(unittest.TestCase):
    def setUp(self):
        self.generator = torch.Generator().manual_seed(SEED)
        print(f"seed {SEED}")

    def weights(self, rows, columns):
        return torch.randn(rows, columns, generator=self.generator, dtype=torch.float64)

    def test_better_than_rounding_on_correlated_inputs(self):
        for size, group_size in ((128, 128), (160, 64), (288, 128), (96, -1)):
            for bits in (2, 3, 4):
                with self.subTest(size=size, group_size=group_size, bits=bits):
                    H = correlated_hessian(size, 4 * size, self.generator)
                    W = self.weights(64, size)
                    solved = loss(W, classic_gptq(W, H, bits, group_size), H)
                    self.assertLess(solved, loss(W, rtn(W, bits, group_size), H))

    def test_equals_rounding_when_inputs_are_uncorrelated(self):
        W = self.weights(32, 200)
        H = torch.diag(torch.rand(200, generator=self.generator, dtype=torch.float64) + 0.1)
        for group_size in (64, 128, -1):
            self.assertTrue(torch.equal(classic_gptq(W, H, 3, group_size), rtn(W, 3, group_size)))

    def test_equals_the_unfactored_rule_for_any_block(self):
        W, H = self.weights(24, 160), correlated_hessian(160, 640, self.generator)
        for group_size in (32, 64, 128):
            expected = brain_surgeon(W, H, 3, group_size)
            for block in (16, 48, 128, 160):
                with self.subTest(group_size=group_size, block=block):
                    got = classic_gptq(W, H, 3, group_size, block=block)
                    self.assertLess((got - expected).abs().max().item(), 1e-9 * W.abs().max().item())

    def test_values_lie_on_the_grid(self):
        W = self.weights(16, 128)
        Q = classic_gptq(W, correlated_hessian(128, 512, self.generator), 2, 128)
        self.assertLessEqual(max(len(row.unique()) for row in Q), 4)

    def test_dead_column_is_survived(self):
        W, H = self.weights(16, 64), correlated_hessian(64, 256, self.generator)
        H[5], H[:, 5] = 0, 0
        Q = classic_gptq(W, H, 4, 32)
        self.assertTrue(bool(torch.isfinite(Q).all()))
        self.assertTrue(bool((Q[:, 5] == 0).all()))

    def test_loss_of_nothing_and_of_everything(self):
        W, H = self.weights(8, 32), correlated_hessian(32, 128, self.generator)
        self.assertEqual(loss(W, W, H), 0.0)
        self.assertAlmostEqual(loss(W, torch.zeros_like(W), H), 1.0)
        self.assertAlmostEqual(loss(W, 0.9 * W, H), 0.01)


if __name__ == "__main__":
    unittest.main()
