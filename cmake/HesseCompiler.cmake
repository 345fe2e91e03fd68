# hesse_compiler: the language level, the warnings and the sanitizers of our own code.
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(hesse_compiler INTERFACE)
target_compile_features(hesse_compiler INTERFACE cxx_std_20)
target_compile_options(hesse_compiler INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Werror
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # false alarms of g++ 12 on std::string (GCC bug 105651)
  # Floating point as written: no reassociation, and no fused multiply-add behind our back, so that results do not
  # depend on the optimiser. Kernels ask for FMA by name.
  -ffp-contract=off)
if(HESSE_SANITIZE)
  target_compile_options(hesse_compiler INTERFACE -fsanitize=${HESSE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(hesse_compiler INTERFACE -fsanitize=${HESSE_SANITIZE})
endif()
