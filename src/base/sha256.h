// SHA-256 of bytes, as lower-case hexadecimal. Behind it: OpenSSL's libcrypto.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace hesse {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, size_t size);
  // The digest of all that was given; the object must not be used afterwards.
  std::string hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hesse
