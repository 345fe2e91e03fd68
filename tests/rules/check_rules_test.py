"""tools/check_rules.py must see every kind of broken rule, and nothing in code that keeps them.

Each test plants files in a small clean tree and compares the whole list of complaints.
"""
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools"
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
import check_rules  # noqa: E402: found through the path above

# A tree that keeps every rule, in the places where the rules are easiest to get wrong.
CLEAN = {
    "include/hesse/error.h": "#pragma once\n#include <string>\n#include <stdexcept>\n",
    "include/hesse/types.h": '#pragma once\n#include "hesse/error.h"\n#include <cstdint>\n',
    "include/hesse/api.h": '#pragma once\n#include <hesse/types.h>\n',
    "src/base/checked.h": '// no printf here\n#pragma once\n#include "hesse/error.h"\n#include <sys/resource.h>\n',
    "src/base/threads.cpp": '#include <omp.h>\n#include <thread>\nvoid f() {\n#pragma omp parallel\n  {}\n}\n',
    "src/base/process.cpp": '#include <unistd.h>\n#include <fstream>\nstd::ifstream file("/proc/cpuinfo");\n',
    "src/base/sha256.cpp": "#include <openssl/evp.h>\nEVP_MD_CTX* context;\n",
    "src/kernels/dot-inl.h": '#include "hwy/highway.h"\n',
    "src/kernels/dot.cpp": '#include "kernels/dot-inl.h"\n#include <immintrin.h>\n#include "base/checked.h"\n',
    "src/linalg/gemm.cpp": "#include <dnnl.h>\n#include <cblas.h>\nvoid f() { cblas_dgemm(); dpotrf_(); }\n",
    "src/io/json.h": "#pragma once\n",
    "src/io/json.cpp": '#include <nlohmann/json.hpp>\n#include "io/json.h"\nnlohmann::json j;\n',
    "src/io/file.cpp": "#include <fcntl.h>\n#include <sys/mman.h>\n#include <unistd.h>\n"
                       "void f() { ::open(); mmap(); file_system().fsync(1); disk->rename(a, b); }\n",
    "src/io/file_system.cpp": "#include <unistd.h>\nvoid f() { ::fsync(1); ::rename(a, b); ::mkdir(a); }\n",
    "src/io/file_lock.cpp": "#include <sys/file.h>\nvoid f() { ::flock(1, 2); }\n",
    "src/tokenizer/regex.cpp": "#include <pcre2.h>\nvoid f() { pcre2_match(); }\n",
    "src/tokenizer/normalize.cpp": '#include <utf8proc.h>\n#include "io/json.h"\n',
    "src/report/record.cpp": '#include "io/json.h"\n#include "base/checked.h"\n#include "hesse/events.h"\n',
    "src/run/comm_mpi.cpp": "#include <mpi.h>\nvoid f() { MPI_Init(); }\n",
    "src/run/pipeline.cpp": '#include "quant/gptq.h"\n#include "model/arch.h"\n#include <atomic>\n#include <mutex>\n',
    "src/api/api.cpp": '#include "hesse/api.h"\n#include "run/pipeline.h"\n#include "report/record.h"\n'
                       "std::string libraries = openblas_version();\n",
    "src/cli/main.cpp": '#include "hesse/api.h"\n#include "cli/args.h"\n#include <CLI/CLI.hpp>\n#include <unistd.h>\n'
                        '#include <iostream>\nint main() { std::cout << getenv("HOME"); fmt::print("x"); exit(1); }\n',
    "tests/io/json_test.cpp": '#include <nlohmann/json.hpp>\n#include "run/pipeline.h"\n#include <iostream>\n',
    # Names that look like forbidden calls, and forbidden words that are not code.
    "src/data/text.cpp": '''#include "tokenizer/tokenizer.h"
/* printf("x"); std::cout << 1;
   exit(1); */
struct Text {
  static Text open(const char* path);
  Text& rename(int to);
  void exit();
};
const char* kHelp = "std::cout << exit(1) \\" getenv";
const char* kPage = R"(
#include "cli/args.h"
  printf("hello"); // )";
const char kQuote = '"';
const int kMillion = 1'000'000;
void f(Text text) {
  text.exit();
  Text::open("a");
  snprintf(nullptr, 0, "x");
  std::snprintf(nullptr, 0, "x");
}
''',
}


class CheckRules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.tree.name)
        for name, text in CLEAN.items():
            cls.write(name, text)

    @classmethod
    def tearDownClass(cls):
        cls.tree.cleanup()

    @classmethod
    def write(cls, name, text):
        path = cls.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run_with(self, planted, *arguments):
        """Exit code and lines of the checker on the clean tree with the files `planted` in it."""
        self.assertFalse(planted.keys() & CLEAN.keys(), "a planted file must not replace one of the clean tree")
        paths = [self.write(name, text) for name, text in planted.items()]
        try:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = check_rules.main(["--root", str(self.root), *arguments])
        finally:
            for path in paths:
                path.unlink()
        return code, printed.getvalue().splitlines()

    def assert_complaint(self, name, text, line, words):
        """Planting `text` as `name` in the clean tree gives one complaint, at `line`, with `words` in it."""
        code, lines = self.run_with({name: text})
        complaints = lines[:-1]
        self.assertEqual(code, 1, text)
        self.assertEqual(len(complaints), 1, f"{text!r} gave {complaints}")
        self.assertTrue(complaints[0].startswith(f"{name}:{line}: "), complaints[0])
        self.assertIn(words, complaints[0])

    def test_accepts_a_clean_tree(self):
        code, lines = self.run_with({})
        self.assertEqual((code, len(lines)), (0, 1), lines)

    def test_the_process_fails_when_a_rule_is_broken(self):
        with tempfile.TemporaryDirectory() as root:
            folder = pathlib.Path(root) / "src" / "io"
            folder.mkdir(parents=True)
            command = [sys.executable, str(TOOLS / "check_rules.py"), "--root", root]
            (folder / "a.cpp").write_text("int i;\n", encoding="utf-8")
            self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode, 0)
            (folder / "b.cpp").write_text("#include <omp.h>\n", encoding="utf-8")
            self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode, 1)

    def test_refuses_a_tree_without_sources(self):
        with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(check_rules.main(["--root", root]), 1)
        self.assertIn("wrong --root", printed.getvalue())

    def test_sees_arrows_that_point_up(self):
        for folder, target in [
                ("base", "io/json.h"), ("kernels", "linalg/gemm.h"), ("linalg", "kernels/kernels.h"),
                ("io", "model/arch.h"), ("tokenizer", "model/config.h"), ("data", "model/config.h"),
                ("model", "quant/grid.h"), ("quant", "io/json.h"), ("quant", "model/arch.h"),
                ("formats", "model/arch.h"), ("formats", "run/journal.h"), ("plan", "io/safetensors.h"),
                ("plan", "run/journal.h"), ("eval", "quant/grid.h"), ("eval", "run/pipeline.h"),
                ("run", "eval/perplexity.h"), ("run", "report/record.h"), ("run", "cli/args.h"),
                ("report", "run/journal.h"), ("report", "io/file.h"), ("report", "model/arch.h"),
                ("api", "cli/args.h"), ("cli", "base/threads.h"), ("cli", "api/quantize.h")]:
            with self.subTest(folder=folder, target=target):
                for include in (f'"{target}"', f"<{target}>"):
                    self.assert_complaint(f"src/{folder}/new.cpp", f"\n#include {include}\n", 2, f"{folder} may")

    def test_sees_who_uses_the_front_door(self):
        self.assert_complaint("src/base/new.cpp", '#include "hesse/options.h"\n', 1, "base includes error.h, types.h")
        self.assert_complaint("src/run/new.cpp", '#include "hesse/api.h"\n', 1, "only api and cli")

    def test_sees_a_front_door_that_opens_to_the_inside(self):
        for target in ('"io/json.h"', "<io/json.h>", '"json.h"', "<fmt/format.h>", "<unistd.h>"):
            with self.subTest(target=target):
                code, lines = self.run_with({"include/hesse/new.h": f"#pragma once\n#include {target}\n"})
                self.assertEqual(code, 1)
                self.assertTrue(lines[0].startswith("include/hesse/new.h:2: "), lines)
                self.assertIn("a public header includes", "\n".join(lines))

    def test_sees_files_outside_the_table(self):
        self.assert_complaint("src/misc/new.cpp", "", 1, "not in a folder")
        self.assert_complaint("src/new.cpp", "", 1, "not in a folder")

    def test_sees_includes_without_their_folder(self):
        self.assert_complaint("src/io/new.cpp", '#include "json.h"\n', 1, "say in which folder")

    def test_sees_includes_that_climb(self):
        self.assert_complaint("src/io/new.cpp", '#include "../io/json.h"\n', 1, "never with ..")
        self.assert_complaint("tests/io/new_test.cpp", '#include "../../src/io/json.h"\n', 1, "never with ..")
        self.assert_complaint("examples/new.cpp", '#include "../include/hesse/api.h"\n', 1, "never with ..")

    def test_sees_headers_without_pragma_once(self):
        for name in ("include/hesse/new.h", "src/io/new.h", "tests/io/new.h", "src/io/new.hpp"):
            with self.subTest(name=name):
                self.assert_complaint(name, "// #pragma once\nint f();\n", 1, "#pragma once")

    def test_sees_what_lives_elsewhere(self):
        for what, lines in {
                "MPI only in src/run/comm_mpi.cpp": ["#include <mpi.h>", "int i = MPI_Barrier(w);"],
                "oneDNN, BLAS and LAPACK only in src/linalg/": [
                    "#include <dnnl.h>", "#include <oneapi/dnnl/dnnl.hpp>", "#include <cblas.h>",
                    "#include <lapacke.h>", "void f() { cblas_dgemm(); }", "void f() { dpotrf_(n); }",
                    "void f() { openblas_set_num_threads(1); }",
                    "dnnl::engine e;"],
                "SIMD only in src/kernels/": [
                    "#include <immintrin.h>", "#include <arm_neon.h>", '#include "hwy/highway.h"',
                    "auto x = _mm256_add_ps(a, b);"],
                "the JSON library only in src/io/json.cpp": ["#include <nlohmann/json.hpp>", "nlohmann::json j;"],
                "system calls on files only in": [
                    "#include <fcntl.h>", "#include <sys/mman.h>", "#include <sys/file.h>", "int f = open(p, 0);",
                    "void f() { if (mmap(a)) g(); }", "void f() { ::flock(d, 2); }"],
                "calls that change the disk only in src/io/file_system.cpp": [
                    "void f() { return ::fsync(1); }", "void f() { std::filesystem::rename(a, b); }",
                    "auto* f = std::fopen(a, b);", "void f() { fs::remove_all(a); }", "void f() { ::mkdir(a, 7); }",
                    "void f() { return unlink(a); }", "void f() { std::filesystem::create_directories(a); }"],
                "std::ofstream": ["std::ofstream out(path);", "std::fstream out(path);"],
                "unistd.h only in": ["#include <unistd.h>"],
                "printing only in src/cli/": [
                    "#include <iostream>", 'void f() { printf("x"); }', 'void f() { std::printf("x"); }',
                    'void f() { fputs("x", file); }', 'void f() { std::cerr << "x"; }', 'void f() { fmt::print("x"); }',
                    'void f() { puts("x"); }', "auto* f = stderr;"],
                "the environment only in src/cli/": ['auto* e = getenv("HOME");', 'auto* e = std::getenv("HOME");'],
                "threads only in src/base/threads.*": [
                    "#include <omp.h>", "#include <thread>", "#include <future>", "#include <pthread.h>",
                    "#pragma omp parallel for", "# pragma  omp parallel", "std::thread t;", "auto a = std::async(f);",
                    "int n = omp_get_max_threads();"],
                "ending the process only in src/cli/": [
                    "void f() { exit(1); }", "void f() { std::abort(); }", "void f() { ::_exit(1); }",
                    "void f() { if (x) exit(1); else abort_later(); }"],
                "PCRE2 only in src/tokenizer/regex.cpp": ["#include <pcre2.h>", "void f() { pcre2_match(c); }"],
                "utf8proc only in src/tokenizer/": ["#include <utf8proc.h>", "auto t = utf8proc_category(c);"],
                "OpenSSL only in src/base/sha256.cpp": ["#include <openssl/sha.h>", "EVP_MD_CTX* c;"],
                "CLI11 only in src/cli/": ["#include <CLI/CLI.hpp>", "CLI::App app;"]}.items():
            for text in lines:
                with self.subTest(text=text):
                    self.assert_complaint("src/io/new.cpp", f"/* a\n b */ int a;\n{text}\n", 3, what)

    def test_names_the_one_place_not_its_folder(self):
        self.assert_complaint("src/tokenizer/new.cpp", "#include <pcre2.h>\n", 1, "PCRE2 only in")
        self.assert_complaint("src/run/new.cpp", "#include <mpi.h>\n", 1, "MPI only in")
        self.assert_complaint("src/base/new.cpp", "#include <omp.h>\n", 1, "threads only in")

    def test_sizes_are_told_and_do_not_fail(self):
        long = {"src/io/long.cpp": "int i;\n" * 401, "src/io/short.cpp": "int i;\n" * 400}
        code, lines = self.run_with(long, "--sizes")
        self.assertEqual(code, 0)
        self.assertEqual([line for line in lines if "lines" in line],
                         ["src/io/long.cpp: 401 lines, more than 400 (not a failure)"])
        self.assertEqual(self.run_with(long), (0, lines[1:]))


if __name__ == "__main__":
    unittest.main()
