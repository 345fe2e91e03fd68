"""What the transformers library says about a model: tokens, windows, perplexity, logits. Always on the CPU."""
import contextlib
import math
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # with one, GPTQModel stops at "Virtual pool ..."
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive a fork
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # GPTQModel compiles its kernels at load, longer than these tests run

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore", category=UserWarning)


def token_windows(model_dir, text_file, length: int, count: int, bos: bool = False) -> torch.Tensor:
    """The first `count` windows of `length` tokens, end to end: int64 [count, length]. No special tokens but `bos`."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    # newline="": line ends reach the tokenizer as they are in the file.
    with open(text_file, encoding="utf-8", newline="") as file:
        ids = tokenizer(file.read(), add_special_tokens=False, verbose=False)["input_ids"]
    body = length - 1 if bos else length
    count = min(count, len(ids) // body)
    if count == 0:
        raise ValueError(f"{text_file}: {len(ids)} tokens, fewer than one window of {body}")
    windows = torch.tensor(ids[: count * body]).reshape(count, body)
    if bos:
        windows = torch.cat([torch.full((count, 1), tokenizer.bos_token_id), windows], dim=1)
    return windows


@contextlib.contextmanager
def silence():
    """Both output streams, below Python: GPTQModel and torchao print banners and warnings past the logging module."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    with open(os.devnull, "w") as nowhere:
        for stream, _ in kept:
            os.dup2(nowhere.fileno(), stream)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in kept:
                os.dup2(copy, stream)
                os.close(copy)


def load(model_dir, **options):
    with silence():
        return transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, **options).eval()


def packed_modules(model) -> dict:
    return {name: m for name, m in model.named_modules() if hasattr(m, "qweight") and hasattr(m, "scales")}


def load_with_gptqmodel(model_dir):
    """-> (model, kernel class). The first that can run the model: GPTQModel's own choice, then its plain kernel.

    Its own choice at 4 bits accepts group size -1 when loading and refuses it when running, hence the trial run.
    """
    failures = []
    for backend in ("auto", "gptq_torch"):
        try:
            config = transformers.GPTQConfig(bits=4, backend=backend)  # all but the back end comes from the files
            model = load(model_dir, device_map="cpu", quantization_config=config)
            with torch.no_grad(), silence():
                model(torch.zeros(1, 2, dtype=torch.long))
        except (NotImplementedError, ValueError, RuntimeError) as error:
            failures.append(f"{backend}: {' '.join(str(error).split())}")
            continue
        return model, "+".join(sorted({type(m).__name__ for m in packed_modules(model).values()}))
    raise NotImplementedError("; ".join(failures))


@torch.no_grad()
def logits(model, ids: torch.Tensor) -> torch.Tensor:
    """ids [tokens] -> float32 [tokens, vocabulary]."""
    return model(ids[None]).logits[0].float()


def mean_nll(model, windows: torch.Tensor) -> float:
    """Mean over all predictions; a window of n tokens holds n - 1 of them."""
    total, predictions = 0.0, 0
    for ids in windows:
        scores = torch.log_softmax(logits(model, ids)[:-1].double(), dim=-1)
        total -= scores.gather(1, ids[1:, None]).sum().item()
        predictions += len(ids) - 1
    return total / predictions


def perplexity(model, windows: torch.Tensor) -> float:
    return math.exp(mean_nll(model, windows))


@torch.no_grad()
def compare(model, original, windows: torch.Tensor) -> dict:
    """KL(original || model) of every prediction: mean, median and 99 %, agreement of the first choices, ratio."""
    kl, same, apart = [], [], 0.0
    for ids in windows:
        ours = torch.log_softmax(logits(model, ids)[:-1].double(), dim=-1)
        theirs = torch.log_softmax(logits(original, ids)[:-1].double(), dim=-1)
        kl.append((theirs.exp() * (theirs - ours)).sum(dim=-1))
        same.append(ours.argmax(dim=-1) == theirs.argmax(dim=-1))
        apart += (theirs - ours).gather(1, ids[1:, None]).sum().item()
    kl, same = torch.cat(kl), torch.cat(same)
    return {
        "kl": kl.mean().item(),
        "kl_median": kl.quantile(0.5).item(),
        "kl_p99": kl.quantile(0.99).item(),
        "agreement": same.double().mean().item(),
        "ratio": math.exp(apart / len(kl)),
    }
