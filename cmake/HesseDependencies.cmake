# hesse_dependencies: what the static library needs at link time, all from the distribution; tools/setup.sh knows the
# package names. The build includes this file, and so does the installed package: one list cannot drift.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
find_dependency(OpenMP COMPONENTS CXX)
find_dependency(fmt)
find_dependency(OpenSSL COMPONENTS Crypto)
find_dependency(ZLIB)
find_dependency(PkgConfig)
pkg_check_modules(hwy QUIET IMPORTED_TARGET libhwy)
pkg_check_modules(pcre2 QUIET IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc QUIET IMPORTED_TARGET libutf8proc)
pkg_check_modules(zstd QUIET IMPORTED_TARGET libzstd)
# Debian's dnnl-config.cmake asks for OpenCL headers that a CPU build does not need: find the library itself.
find_path(DNNL_INCLUDE_DIR dnnl.h)
find_library(DNNL_LIBRARY dnnl)
find_library(OPENBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-openmp)

set(hesse_missing "")
foreach(found hwy_FOUND pcre2_FOUND utf8proc_FOUND zstd_FOUND DNNL_INCLUDE_DIR DNNL_LIBRARY OPENBLAS_LIBRARY)
  if(NOT ${found})
    string(REGEX REPLACE "_FOUND$" "" name ${found})
    list(APPEND hesse_missing ${name})
  endif()
endforeach()
if(hesse_missing)
  # The build stops on it; find_package(hesse) shows it to whoever asked.
  set(${CMAKE_FIND_PACKAGE_NAME}_FOUND FALSE)
  set(${CMAKE_FIND_PACKAGE_NAME}_NOT_FOUND_MESSAGE "hesse needs libraries that are not here: ${hesse_missing}.")
elseif(NOT TARGET hesse_dependencies)
  add_library(hesse_dependencies INTERFACE IMPORTED)
  target_include_directories(hesse_dependencies INTERFACE ${DNNL_INCLUDE_DIR})
  target_link_libraries(hesse_dependencies INTERFACE
    OpenMP::OpenMP_CXX Threads::Threads ${DNNL_LIBRARY} fmt::fmt OpenSSL::Crypto
    PkgConfig::hwy PkgConfig::pcre2 PkgConfig::utf8proc PkgConfig::zstd ZLIB::ZLIB ${OPENBLAS_LIBRARY})
endif()
