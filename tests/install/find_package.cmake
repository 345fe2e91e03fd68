# Installs into a fresh prefix and builds two strangers against it: consumer/ beside this file, and examples/.
# Called by ctest with BUILD_DIR, SOURCE_DIR, CXX and CXX_FLAGS.
set(work ${BUILD_DIR}/install-test)
set(prefix ${work}/prefix)
file(REMOVE_RECURSE ${work})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "returned ${code}: ${command}")
  endif()
endfunction()

function(build_against_prefix source name)
  run(${CMAKE_COMMAND} -S ${source} -B ${work}/${name} -G Ninja -D CMAKE_BUILD_TYPE=Release
    -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_CXX_FLAGS=${CXX_FLAGS}
    -D CMAKE_FIND_PACKAGE_PREFER_CONFIG=ON)
  run(${CMAKE_COMMAND} --build ${work}/${name})
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})
run(${prefix}/bin/hesse --version)
build_against_prefix(${SOURCE_DIR}/tests/install/consumer consumer)
run(${work}/consumer/consumer)
build_against_prefix(${SOURCE_DIR}/examples examples)
run(${work}/examples/quantize ${SOURCE_DIR}/models/tiny-llama ${SOURCE_DIR}/models/tiny-llama/calibration.txt
  ${work}/example-result)
run(${prefix}/bin/hesse inspect ${work}/example-result)

# The package can be moved, and nothing in it leads back to the source or the build.
file(GLOB_RECURSE texts ${prefix}/*.cmake)
foreach(text ${texts})
  file(READ ${text} content)
  foreach(dir ${SOURCE_DIR} ${BUILD_DIR} ${prefix})
    string(FIND "${content}" "${dir}/" position)
    if(NOT position EQUAL -1)
      message(FATAL_ERROR "${text} names ${dir}, which other machines do not have")
    endif()
  endforeach()
endforeach()
