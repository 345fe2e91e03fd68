# make install: the tool, the library, the public headers and a package for find_package(hesse).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(hesse_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hesse)
configure_package_config_file(cmake/hesseConfig.cmake.in hesseConfig.cmake INSTALL_DESTINATION ${hesse_package_dir})
# Before 1.0 any minor version may change the API.
write_basic_package_version_file(hesseConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS hesse_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS hesse EXPORT hesseTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hesse DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT hesseTargets NAMESPACE hesse:: DESTINATION ${hesse_package_dir})
install(FILES ${PROJECT_BINARY_DIR}/hesseConfig.cmake ${PROJECT_BINARY_DIR}/hesseConfigVersion.cmake
  cmake/HesseDependencies.cmake DESTINATION ${hesse_package_dir})
