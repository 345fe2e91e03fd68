"""bench/: the runs that take turns and go on where they were, what they say, the models of random weights, the tables."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tools/quality"), str(ROOT / "bench")]
import e2e  # noqa: E402: found through the paths above
import gauge  # noqa: E402
import make_model  # noqa: E402
import measure  # noqa: E402
import peer_speed  # noqa: E402
import peers  # noqa: E402
import results  # noqa: E402
import tables  # noqa: E402

WORK = {"linears": 6e9, "attention": 2e9, "hessian": 1e9, "cross": 3e9, "factor": 5e8, "solve": 4e9}

# Stands in for the tool. It notes every call, and refuses 2 bits.
STAND_IN = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
with open(pathlib.Path(__file__).with_name("calls"), "a") as calls:
    calls.write("{name} " + words[0] + "\\n")
if words[0] == "bench":
    if not {benches}:
        print("unknown command 'bench'", file=sys.stderr)
        sys.exit(2)
    print(json.dumps({{"gemm_f32_gflops": {rate}, "build": "{build}"}}))
elif words[0] == "eval":
    print(json.dumps({{"perplexity": 30.0, "windows": 4}}))
elif words[words.index("--bits") + 1] == "2":
    print("[quantize] no\\n[quantize] refuses 2 bits", file=sys.stderr)
    sys.exit(3)
else:
    machine = {{"processor": "P", "simd": "S", "libraries": "L", "threads": 2}}
    phases = [{{"name": name, "seconds": s}} for name, s in (("check", 0.5), ("forward", 2.0), ("hessian", 1.0), ("solve", 0.0))]
    cost = {{"seconds": {seconds}, "phases": phases, "peak_memory_bytes": 1000, **{work}}}
    print(json.dumps({{"version": "0", "machine": machine, "calibration": {{"tokens": 9}}, "cost": cost,
                      "result": {{"bits_per_weight": 4.2, "fallbacks": 0, "mean_relative_error": None}}}}))
"""


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "results.jsonl"

    def tool(self, name="a", benches=True, rate=50.0, build="release", seconds=4.0, work=None):
        path = self.folder / name
        work = repr({"work": WORK if work is None else work} if work != {} else {})
        path.write_text(
            STAND_IN.format(
                python=sys.executable, name=name, benches=benches, rate=rate, build=build, seconds=seconds, work=work
            )
        )
        path.chmod(0o755)
        return path

    def calls(self):
        return (self.folder / "calls").read_text().split("\n")[:-1]

    def printed(self, main, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            code = main([str(word) for word in arguments])
        return code, out.getvalue()


class Gauge(InFolder):
    def test_refuses_builds_whose_times_mean_nothing(self):
        for build in ("debug", "Debug", "sanitizer"):
            with self.assertRaisesRegex(measure.Failed, f"is a {build} build"):
                gauge.tool_of(self.tool(build=build), "A", False)
        self.assertTrue(gauge.tool_of(self.tool(), "A", False).benches)

    def test_a_tool_without_the_command_is_judged_by_its_build_directory(self):
        path = self.tool(benches=False)
        with self.assertRaisesRegex(measure.Failed, "neither"):
            gauge.tool_of(path, "A", False)
        cache = self.folder / "CMakeCache.txt"
        for text, refused in (
            ("CMAKE_BUILD_TYPE:STRING=Debug\n", "Debug"),
            ("// a note\nCMAKE_BUILD_TYPE:STRING=Release\nHESSE_SANITIZE:STRING=address\n", "sanitizer"),
            ("CMAKE_BUILD_TYPE:STRING=\n", "unnamed"),
            ("CMAKE_BUILD_TYPE:STRING=Release\nHESSE_SANITIZE:STRING=\n", None),
        ):
            cache.write_text(text)
            if refused:
                with self.assertRaisesRegex(measure.Failed, f"is a {refused} build"):
                    gauge.tool_of(path, "A", False)
            else:
                self.assertFalse(gauge.tool_of(path, "A", False).benches)

    def test_a_tool_that_was_built_again_is_another_one(self):
        first = gauge.tool_of(self.tool(rate=1.0), "A", False)
        self.assertNotEqual(first.binary, gauge.tool_of(self.tool(rate=2.0), "A", False).binary)

    def test_the_better_rate_around_a_job_counts(self):
        multiplier = gauge.Multiplier([gauge.Tool(pathlib.Path(), "A", "1", True)], 2)
        rates = iter([50.0, 40.0, 60.0])
        multiplier.rate = lambda: setattr(multiplier, "last", next(rates)) or multiplier.last
        self.assertEqual(multiplier.around(lambda: "x"), ("x", 50.0))
        self.assertEqual(multiplier.around(lambda: "y"), ("y", 60.0))  # 40, measured before, and 60
        self.assertEqual(list(rates), [])

    def test_nothing_is_claimed_of_ranges_that_overlap(self):
        self.assertEqual(gauge.compared([1.0, 1.1, 1.2], [2.0, 2.2, 2.4]), "2.000 times")
        self.assertIn("overlap", gauge.compared([1.0, 1.1, 2.1], [2.0, 2.2, 2.4]))
        self.assertIn("says nothing", gauge.compared([1.0], [2.0]))


class E2e(InFolder):
    def run_it(self, *flags, tools=None):
        tools = tools or [self.tool("a"), self.tool("b", benches=False, seconds=8.0)]
        flags = ["--any-build", "--results", self.file, "--threads", 2, *flags]
        code, printed = self.printed(e2e.main, "--tool", *tools, *flags)
        return code, printed, results.read(self.file, e2e.KEY)

    def test_tools_take_turns_and_runs_go_on_where_they_were(self):
        flags = ("--presets", "fast", "balanced", "--runs", 2)
        code, _, lines = self.run_it(*flags)
        self.assertEqual(code, 0)
        order = [(line["run"], line["preset"], line["tool"]) for line in lines]
        self.assertEqual(order, [(r, p, t) for r in (0, 1) for p in ("fast", "balanced") for t in "AB"])
        kept = self.file.read_bytes().splitlines(keepends=True)
        self.file.write_bytes(b"".join(kept[:3]) + kept[3][:50])
        (self.folder / "calls").unlink()
        _, printed, again = self.run_it(*flags)
        self.assertEqual([(line["run"], line["preset"], line["tool"]) for line in again], order)
        self.assertEqual(sum("quantize" in call for call in self.calls()), len(order) - 3)
        self.assertIn("B takes 2.000 times", printed.replace(", but the ranges overlap: no difference shown", ""))

    def test_phases_are_compared_with_the_products_of_the_machine(self):
        _, printed, (line,) = self.run_it("--presets", "fast", "--runs", 1, tools=[self.tool()])
        self.assertEqual((line["work"], line["gemm_gflops"]), (WORK, 50.0))
        rows = {phase: (flops, part) for phase, _, flops, part in e2e.rates_of(line)}
        self.assertEqual(rows["check"], (None, None))
        self.assertEqual(rows["forward"], (8e9, 0.08))  # 8 GFLOP in 2 s are 4 GFLOP/s of 50
        self.assertEqual(rows["hessian"], (4e9, 0.08))
        self.assertEqual(rows["solve"], (4e9, None))  # in no time: no rate
        self.assertEqual(rows["all"][0], 16.5e9)
        self.assertAlmostEqual(rows["all"][1], 16.5 / 4 / 50)
        self.assertRegex(printed, r"forward +2\.00 +8\.0 +4\.0 +8 %")

    def test_without_work_or_rate_nothing_is_computed_and_that_is_said(self):
        _, printed, (line,) = self.run_it("--presets", "fast", "--runs", 1, tools=[self.tool(work={})])
        self.assertIsNone(line["work"])
        self.assertIn("no cost.work", printed)
        tools = [self.tool("c", benches=False)]
        _, printed, lines = self.run_it("--presets", "fast", "--runs", 1, tools=tools)
        self.assertIsNone(lines[-1]["gemm_gflops"])
        self.assertIn("no share", printed)
        self.assertEqual({part for _, _, _, part in e2e.rates_of(lines[-1])}, {None})

    def test_what_fails_is_a_line_and_repeated_only_when_asked(self):
        flags = ("--presets", "fast", "--bits", 2, 3, "--runs", 1)
        code, printed, lines = self.run_it(*flags, tools=[self.tool()])
        self.assertEqual((code, [line.get("failed") for line in lines]), (1, [lines[0]["failed"], None]))
        self.assertIn("exit code 3: [quantize] refuses 2 bits", lines[0]["failed"])
        self.assertIn("FAILED", printed)
        self.assertEqual(len(self.run_it(*flags, tools=[self.tool()])[2]), 2)
        self.assertEqual(len(self.run_it(*flags, "--again", tools=[self.tool()])[2]), 3)

    def test_refuses_one_tool_given_twice(self):
        code, printed, lines = self.run_it(tools=[self.tool(), self.tool()])
        self.assertEqual((code, lines), (2, []))
        self.assertIn("same program", printed)


class PeerSpeed(InFolder):
    """The other tools and torch are a function here: their step's outcome, and what it cost."""

    def setUp(self):
        super().setUp()
        self.steps = []
        self.addCleanup(setattr, peers.Step, "run", peers.Step.run)
        self.addCleanup(setattr, peers, "version_of", peers.version_of)
        self.addCleanup(setattr, peer_speed, "torch_version", peer_speed.torch_version)
        peers.version_of = lambda peer, python: "9.9"
        peer_speed.torch_version = lambda args: "2.0"
        test = self

        def run(step, name):
            test.steps.append((step.job["peer"], name))
            if name == "windows":
                (step.work / "ids").write_text(test.ids.get(step.job["peer"], "[[1, 2], [3, 4]]"))
                return None, {}
            test.assertEqual(name == "eval", not (step.work / "ids").exists())
            if step.job["peer"] in test.failing:
                raise measure.Failed("quantize: no memory")
            said = {"without_import": {"cpu_seconds": 5.0, "wall_seconds": 3.0}}
            return measure.Run(0, "", "", 8.0, 4.0, 2000), {**said, **({"perplexity": test.perplexity} if name == "eval" else {})}

        peers.Step.run = run
        self.ids, self.failing, self.perplexity = {}, set(), 30.0

    def run_it(self, *flags):
        arguments = ["--venvs", self.folder, "--tool", self.tool(), "--results", self.file, "--threads", 2, "--batches", 1]
        code, printed = self.printed(peer_speed.main, *arguments, *flags)
        return code, printed, results.read(self.file, peer_speed.KEY)

    def test_all_take_turns_and_go_on_where_they_were(self):
        names = ["hesse fast", "hesse balanced", "gptqmodel", "llm-compressor", "hesse eval"]
        names += ["torch forward, 1 at a time", "transformers eval, 1 at a time"]
        code, printed, lines = self.run_it("--runs", 2)
        self.assertEqual((code, [line["contestant"] for line in lines]), (0, names * 2))
        self.assertEqual(sum(step == "windows" for _, step in self.steps), 3)  # ours, and once each peer
        self.assertRegex(printed, r"gptqmodel / hesse fast: .* times the cpu seconds, .* the memory")
        kept = self.file.read_bytes().splitlines(keepends=True)
        self.file.write_bytes(b"".join(kept[:-1]))
        self.steps.clear()
        self.assertEqual(len(self.run_it("--runs", 2)[2]), len(names) * 2)
        self.assertEqual(self.steps, [("eval", "eval")])

    def test_other_token_ids_are_no_comparison(self):
        self.ids["gptqmodel"] = "[[1, 2], [3, 5]]"
        code, _, lines = self.run_it("--runs", 1, "--only", "gptqmodel", "llm")
        self.assertEqual((code, ["failed" in line for line in lines]), (1, [True, False]))
        self.assertIn("other token ids", lines[0]["failed"])

    def test_what_fails_is_a_line_and_repeated_only_when_asked(self):
        self.failing.add("gptqmodel")
        flags = ("--runs", 1, "--only", "gptqmodel")
        self.assertEqual([line["failed"] for line in self.run_it(*flags)[2]], ["quantize: no memory"])
        self.failing.clear()
        self.assertEqual(len(self.run_it(*flags)[2]), 1)
        self.assertEqual(["failed" in line for line in self.run_it(*flags, "--again")[2]], [True, False])

    def test_perplexities_that_differ_are_told(self):
        flags = ("--runs", 1, "--only", "hesse eval", "transformers")
        self.assertNotIn("NOT THE SAME", self.run_it(*flags)[1])
        self.file.unlink()
        self.perplexity = 30.1
        self.assertIn("NOT THE SAME", self.run_it(*flags)[1])


class MakeModel(unittest.TestCase):
    def shape(self, *flags):
        return make_model.parsed(["/nowhere/at-all", *flags])

    def test_the_shape_is_what_was_asked_for(self):
        shape = self.shape("--like", "llama-7b", "--layers", "2", "--vocab", "5000")
        sizes = dict(make_model.tensors_of(shape))
        self.assertEqual(len(sizes), 2 + 9 * 2)
        self.assertEqual(sizes["model.layers.1.mlp.down_proj.weight"], (4096, 11008))
        self.assertEqual(sizes["model.embed_tokens.weight"], (5000, 4096))
        config = make_model.config_of(shape)
        self.assertEqual((config["num_hidden_layers"], config["head_dim"], config["vocab_size"]), (2, 128, 5000))

    def test_the_demo_shape_is_that_of_the_demo_model(self):
        with open(ROOT / "models/tiny-llama/model.safetensors", "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found = {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        self.assertEqual(dict(make_model.tensors_of(self.shape())), found)

    def test_shards_hold_everything_once_and_none_is_too_large(self):
        tensors = make_model.tensors_of(self.shape())
        for limit in (1, 500_000, 10**9):
            shards = make_model.shards_of(tensors, 2, limit)
            self.assertEqual([(name, size) for shard in shards for name, size, _ in shard], tensors)
            for shard in shards:
                self.assertTrue(len(shard) == 1 or sum(size for _, _, size in shard) <= limit)

    def test_refuses_shapes_that_are_none(self):
        for flags in (["--heads", "3"], ["--vocab", "100"], ["--layers", "0"]):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                self.shape(*flags)

    @unittest.skipUnless(__import__("importlib.util").util.find_spec("numpy"), "needs numpy")
    def test_bf16_is_the_nearest(self):
        import numpy

        values = numpy.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8 + 2**-20), 0.0], dtype=numpy.float32)
        bits = numpy.frombuffer(make_model.stored(values, "bf16"), "<u2")
        self.assertEqual([hex(b) for b in bits], ["0x3f80", "0x3f80", "0x3f82", "0xbf81", "0x0"])


class Tables(InFolder):
    def test_the_tables_say_what_the_lines_say(self):
        E2e.run_it(self, "--presets", "fast", "--runs", 2, tools=[self.tool()])
        lines = results.read(self.file, e2e.KEY)
        text = tables.phases_table(lines)
        self.assertIn("| forward | 2.00 | 8.0 | 4.0 | 8 % |", text)
        self.assertIn("50.0 GFLOP/s", text)

    def test_tokenizers_have_a_row_each(self):
        line = {"tokenizer": "t", "text": "t.txt", "binary": "b", "version": "1", "run": 0, "vocabulary": 4096, "bytes": 1000,
                "bytes_per_second": 12e6, "their_bytes_per_second": 1.5e6, "processor": "P"}  # fmt: skip
        faster = line | {"run": 1, "bytes_per_second": 18e6}
        text = tables.blocks_of([], [], [line, faster, line | {"tokenizer": "u"}])["tokenizers"]
        self.assertIn("| t | 4,096 | 15.0 | 1.5 | 10.0 |", text)
        self.assertIn("| u | 4,096 | 12.0 | 1.5 | 8.0 |", text)
        self.assertIn("1,000 bytes of t.txt; one thread; P; medians of 2 runs.", text)

    def test_only_the_binary_that_was_measured_last_counts(self):
        old = {name: 0 for name in e2e.KEY} | {"binary": "old", "seconds": 1.0}
        new = old | {"binary": "new"}
        self.assertEqual(tables.newest([old, new, new | {"run": 1}], e2e.KEY), [new, new | {"run": 1}])
        self.assertEqual(tables.newest([new, old | {"failed": "x"}], e2e.KEY), [new])


if __name__ == "__main__":
    unittest.main()
