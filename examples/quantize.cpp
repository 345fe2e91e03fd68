// Quantizes a model to 4 bits through the library and prints what each linear lost.
//
//     quantize MODEL_DIR CALIBRATION_TEXT OUTPUT_DIR
#include <hesse/api.h>

#include <cstdio>

// Told of everything that happens; here only of finished linears.
class Printer : public hesse::Listener {
  void on_linear(const hesse::LinearRecord& linear) override {
    std::printf("%-32s %7.3f %% of the output lost\n", linear.name.c_str(), 100 * linear.relative_error);
  }
};

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: quantize MODEL_DIR CALIBRATION_TEXT OUTPUT_DIR\n");
    return hesse::exit_code(hesse::ErrorKind::kUsage);
  }
  hesse::QuantizeOptions options;
  options.model = argv[1];
  options.calibration = {argv[2]};
  options.output = argv[3];
  options.bits = 4;
  options.samples = 16;
  options.overwrite = true;
  try {
    Printer printer;
    const hesse::RunRecord record = hesse::quantize(options, printer);
    std::printf("%.3f bits a weight, %lld fallbacks\n", record.bits_per_weight,
                static_cast<long long>(record.fallbacks()));
    return record.fallbacks() == 0 ? 0 : 1;
  } catch (const hesse::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return hesse::exit_code(error.kind());
  }
}
