# hesse_dependencies: what the library links, all from the distribution. tools/setup.sh knows the package names.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
# Debian's dnnl-config.cmake asks for OpenCL headers that a CPU build does not need: find the library itself.
find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
find_library(OPENBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-openmp REQUIRED)

add_library(hesse_dependencies INTERFACE)
target_include_directories(hesse_dependencies SYSTEM INTERFACE $<BUILD_INTERFACE:${DNNL_INCLUDE_DIR}>)
target_link_libraries(hesse_dependencies INTERFACE
  OpenMP::OpenMP_CXX Threads::Threads ${DNNL_LIBRARY} nlohmann_json::nlohmann_json fmt::fmt OpenSSL::Crypto
  PkgConfig::hwy PkgConfig::pcre2 PkgConfig::utf8proc ${OPENBLAS_LIBRARY})
