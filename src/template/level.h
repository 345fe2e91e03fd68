// How deep the interpreter is in itself: macros that call each other without end must not use up the stack.
#pragma once

#include "template/interpreter.h"

namespace hesse::jinja {

class Interpreter::Level {
 public:
  explicit Level(int& depth) : depth_(depth) {
    if (++depth_ > kMostDepth) {
      --depth_;
      throw Failure("macros or blocks are nested too deeply; one that calls itself without end?");
    }
  }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  static constexpr int kMostDepth = 1000;
  int& depth_;
};

}  // namespace hesse::jinja
