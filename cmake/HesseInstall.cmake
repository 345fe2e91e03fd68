# make install: the tool, the library, the public headers and a package for find_package(hesse).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS hesse_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS hesse hesse_compiler hesse_dependencies EXPORT hesseTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hesse DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
