#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "hesse/error.h"

namespace hesse {

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

namespace {

void require(int code) {
  if (code != 1) throw Error(ErrorKind::kInternal, "[sha256] OpenSSL refused to compute a SHA-256");
}

}  // namespace

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  require(EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t size) { require(EVP_DigestUpdate(impl_->context, data, size)); }

std::string Sha256::bytes() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  require(EVP_DigestFinal_ex(impl_->context, digest.data(), &length));
  return {reinterpret_cast<const char*>(digest.data()), length};
}

std::string Sha256::hex() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes()) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view data) {
  Sha256 hash;
  hash.update(data.data(), data.size());
  return hash.hex();
}

}  // namespace hesse
