"""tools/quality: the files of results, the check for overlapping texts, the order of cells, the windows, the tables."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent.parent / "tools/quality"))
import ablation  # noqa: E402: found through the path above
import overlap  # noqa: E402
import render  # noqa: E402
import results  # noqa: E402
import windows  # noqa: E402


def cell(variant="balanced", bits=4, seed=0, increase=0.5, **more):
    return {
        "model": "demo", "variant": variant, "bits": bits, "group": 128, "seed": seed, "revision": "aaa",
        "perplexity_original": 30.947, "increase_percent": increase, "kl": 0.01, "cpu_seconds": 20.0,
        "windows": 97, "text": {"heldout.txt": "0"}, "calibration_tokens": 32768, "processor": "P", "threads": 2, **more,
    }  # fmt: skip


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "new" / "results.jsonl"

    def test_reads_what_it_appended(self):
        cells = [cell(seed=seed) for seed in range(3)]
        for one in cells:
            results.append(self.file, one)
        self.assertEqual(results.read(self.file), cells)

    def test_survives_a_kill_at_every_byte(self):
        results.append(self.file, cell())
        whole = self.file.read_bytes()
        for length in range(len(whole)):
            self.file.write_bytes(whole + whole[:length])
            self.assertEqual(results.read(self.file), [cell()])
            results.append(self.file, cell(seed=1))
            self.assertEqual(results.read(self.file), [cell(), cell(seed=1)])

    def test_refuses_a_damaged_line_in_the_middle(self):
        for bad in ("{", "[]", "{}"):
            self.file.parent.mkdir(exist_ok=True)
            self.file.write_text(bad + "\n" + json.dumps(cell()) + "\n")
            with self.assertRaisesRegex(ValueError, "results.jsonl:1"):
                results.read(self.file)


class Overlap(unittest.TestCase):
    def setUp(self):
        rng = windows.Rng(7)
        word = lambda: "".join(chr(97 + rng.below(26)) for _ in range(1 + rng.below(9)))  # noqa: E731
        self.lines = ["  ".join(word() for _ in range(80)) for _ in range(40)]

    def test_accepts_texts_without_common_lines(self):
        found = overlap.overlap("\n".join(self.lines[:20]), ["\n".join(self.lines[20:])])
        self.assertEqual((found.share, found.copied_lines, found.refused()), (0, [], False))

    def test_sees_one_copied_line_in_other_spelling(self):
        hidden = self.lines[3].upper().replace("  ", ",\n- ")
        found = overlap.overlap("\n".join(self.lines[:20]), [self.lines[30], "xx" + hidden + "yy"])
        self.assertEqual(found.copied_lines, [self.lines[3]])
        self.assertTrue(found.refused())

    def test_sees_a_common_run_of_64_at_every_position_and_none_of_63(self):
        line = overlap.reduced(self.lines[0])
        for start in range(0, len(line) - 64, 7):
            for length, expected in ((64, 1), (63, 0)):
                found = overlap.overlap(line, ["0" + line[start : start + length] + "0"])
                self.assertEqual(round(found.share * found.shingles), expected)

    def test_the_texts_of_the_demo_model_differ(self):
        model = HERE.parent.parent / "models/tiny-llama"
        self.assertEqual(overlap.complaint(model / "heldout.txt", [model / "calibration.txt"]), "")
        self.assertIn("copied", overlap.complaint(model / "heldout.txt", [model / "heldout.txt"]))


class Windows(unittest.TestCase):
    def test_the_shuffle_is_that_of_hesse(self):
        # The same numbers stand in tests/base/base_test.cpp.
        rng = windows.Rng(1234567)
        self.assertEqual([rng.next(), rng.next()], [6457827717110365317, 3203168211198807973])
        items = list(range(10))
        windows.Rng(3).shuffle(items)
        self.assertEqual(items, [2, 8, 7, 4, 5, 6, 0, 1, 9, 3])

    def test_files_take_turns_until_one_is_empty(self):
        chosen = windows.chosen_starts([35, 90], 10, 100, seed=0)
        self.assertEqual([file for file, _ in chosen], [0, 1] * 3 + [1] * 6)
        self.assertEqual(sorted(chosen), [(0, 10 * i) for i in range(3)] + [(1, 10 * i) for i in range(9)])
        self.assertEqual(windows.chosen_starts([35, 90], 10, 4, seed=0), chosen[:4])
        self.assertNotEqual(windows.chosen_starts([35, 90], 10, 100, seed=1), chosen)


class Order(unittest.TestCase):
    def test_the_default_comes_first_and_seeds_last(self):
        setup = ablation.Setup("demo", pathlib.Path(), [], pathlib.Path(), 128, 97, False)
        rtn, default, other = (v for name in ("rtn", "balanced", "min/max scales") for v in ablation.VARIANTS if v.name == name)
        cells = ablation.cells_of([setup], [rtn, default, other], [4, 3], [0, 1])
        self.assertEqual(
            [(c.variant.name, c.bits, c.seed) for c in cells],
            [("balanced", 4, 0), ("balanced", 3, 0), ("rtn", 4, 0), ("rtn", 3, 0), ("min/max scales", 4, 0), ("min/max scales", 3, 0)]
            + [("balanced", 4, 1), ("balanced", 3, 1), ("min/max scales", 4, 1), ("min/max scales", 3, 1)],
        )

    def test_names_and_flags_of_the_table_are_unique(self):
        for field in ("name", "flags"):
            values = [getattr(variant, field) for variant in ablation.VARIANTS]
            self.assertEqual(len(values), len(set(values)), field)


# Stands in for the tool: quantize leaves its flags in the directory, eval makes numbers from them.
STAND_IN = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
value = lambda flag: words[words.index(flag) + 1]
if words[0] == "quantize":
    if value("--bits") == "2":
        print("[quantize] no\\n[quantize] refuses 2 bits", file=sys.stderr)
        sys.exit(3)
    out = pathlib.Path(value("-o"))
    out.mkdir()
    (out / "bits").write_text(value("--bits"))
    machine = {{"processor": "P", "simd": "S", "libraries": "L", "threads": 2}}
    print(json.dumps({{"version": "0", "machine": machine, "inputs": [], "calibration": {{"tokens": 9}},
                      "result": {{"bits_per_weight": 1.0, "fallbacks": 0}}}}))
else:
    bits = int((pathlib.Path(words[1]) / "bits").read_text())
    against = {{"perplexity": 10.0, "kl": 1.0 / bits, "top1_agreement": 0.5}}
    print(json.dumps({{"perplexity": 10.0 + 1.0 / bits, "windows": int(value("--windows")), "against": against}}))
"""


class Ablation(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tool = pathlib.Path(folder.name) / "hesse"
        self.tool.write_text(STAND_IN.format(python=sys.executable))
        self.tool.chmod(0o755)
        self.file = pathlib.Path(folder.name) / "results.jsonl"

    def run_it(self, *flags):
        command = ["--tool", str(self.tool), "--results", str(self.file), "--revision", "aaa", "--models", "demo", *flags]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = ablation.main(command)
        return code, printed.getvalue(), [(c["variant"], c["bits"], c["seed"]) for c in results.read(self.file)]

    def test_goes_on_where_it_was(self):
        flags = ("--variants", "balanced", "min/max scales", "--bits", "4", "3")
        code, _, cells = self.run_it(*flags, "--seeds", "0")
        self.assertEqual((code, cells), (0, [(v, b, 0) for v in ("balanced", "min/max scales") for b in (4, 3)]))
        lines = self.file.read_bytes().splitlines(keepends=True)
        self.file.write_bytes(b"".join(lines[:2]) + lines[2][:40])
        self.assertEqual(self.run_it(*flags, "--seeds", "0")[2], cells)
        _, printed, more = self.run_it(*flags, "--seeds", "0", "1")
        self.assertIn("8 cells at revision aaa, 4 of them there already", printed)
        self.assertEqual(more, cells + [(v, b, 1) for v, b, _ in cells])

    def test_a_cell_says_what_was_run_and_found(self):
        self.run_it("--variants", "min/max scales", "--bits", "4", "--seeds", "5")
        (line,) = results.read(self.file)
        self.assertEqual(line["flags"].split("--seed 5 ")[1], "--scale-search minmax")
        self.assertAlmostEqual(line["increase_percent"], 2.5)
        self.assertEqual((line["kl"], line["windows"], line["revision"]), (0.25, 97, "aaa"))
        self.assertGreater(line["cpu_seconds"], 0)
        self.assertGreater(line["peak_memory_bytes"], 1 << 20)

    def test_what_fails_is_told_and_not_recorded(self):
        code, printed, cells = self.run_it("--variants", "balanced", "--bits", "2", "3", "--seeds", "0")
        self.assertEqual((code, cells), (1, [("balanced", 3, 0)]))
        self.assertIn("FAILED: quantize: exit code 3: [quantize] refuses 2 bits", printed)


class Render(unittest.TestCase):
    def number(self, values, variant="balanced", **usual):
        cells = render.Cells([cell(variant, seed=seed, increase=value) for seed, value in enumerate(values)])
        return render.number(cells, variant, 4, "increase_percent", usual.get("usual"))

    def test_the_last_digit_is_that_of_the_spread(self):
        self.assertEqual(self.number([2.31234, 2.38765, 2.35]), "+2.35 (+2.31..+2.39)")
        self.assertEqual(self.number([2.1, 3.4]), "+3 (+2..+3)")
        self.assertEqual(self.number([120345.0, 180000.0]), "+150,000 (+120,000..+180,000)")
        self.assertEqual(self.number([2.35, 2.3500001]), "+2.350 (+2.350..+2.350)")
        self.assertEqual(self.number([-0.04, 0.02]), "-0.01 (-0.04..+0.02)")

    def test_one_seed_is_marked_and_borrows_the_spread_of_others(self):
        self.assertEqual(self.number([2.31234]), "+2.3 *")
        self.assertEqual(self.number([2.31234], usual=0.01), "+2.31 *")
        self.assertEqual(self.number([2.31234], usual=0.5), "+2 *")

    def test_without_calibration_no_mark(self):
        self.assertEqual(self.number([36.1378], "rtn"), "+36.1")

    def test_nothing_measured(self):
        self.assertEqual(self.number([]), "–")
        self.assertEqual(self.number([None]), "–")
        self.assertEqual(self.number([float("nan")]), "–")

    def test_the_last_line_of_a_key_and_the_last_revision_count(self):
        lines = [cell(revision="old", seed=s) for s in (0, 1)] + [cell(increase=0.9), cell(increase=0.7)]
        cells = render.Cells(lines)
        self.assertEqual([(c["revision"], c["increase_percent"]) for c in cells.all], [("aaa", 0.7)])

    def test_cpu_is_compared_seed_by_seed(self):
        lines = [cell("classic", seed=s, cpu_seconds=10.0 * (s + 1)) for s in (0, 1)]
        lines += [cell(seed=s, cpu_seconds=20.0 * (s + 1)) for s in (0, 1, 2)]
        self.assertEqual(render.cpu_ratio(render.Cells(lines), "balanced", "classic"), "2.0")

    def test_the_approved_document(self):
        """The fixture is the document that the fixture's results make; every change of a number is seen."""
        arguments = [f"--{name}={HERE / file}" for name, file in (("results", "results.jsonl"), ("peers", "peers.jsonl"), ("bits", "bits.jsonl"))]
        self.assertEqual(self.run_render("--check", f"--document={HERE / 'approved.md'}", *arguments)[0], 0)
        approved = (HERE / "approved.md").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            document = pathlib.Path(folder) / "QUALITY.md"
            document.write_text(approved.replace("+0.51", "+0.50", 1), encoding="utf-8")
            code, printed = self.run_render("--check", f"--document={document}", *arguments)
            self.assertEqual(code, 1)
            self.assertIn("+0.50", printed)
            self.assertEqual(self.run_render(f"--document={document}", *arguments)[0], 0)
            self.assertEqual(document.read_text(encoding="utf-8"), approved)

    def test_places_and_results_must_fit(self):
        blocks = {"demo": "x\n"}
        place = "<!-- begin generated: demo -->\nold\n<!-- end generated: demo -->"
        self.assertIn("\nx\n", render.rewritten(place, blocks))
        for document in ("", place + place, place.replace("demo", "other")):
            with self.assertRaises(ValueError):
                render.rewritten(document, blocks)

    def run_render(self, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
            return render.main(list(arguments)), printed.getvalue()


if __name__ == "__main__":
    unittest.main()
