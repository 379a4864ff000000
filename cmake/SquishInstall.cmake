# find_package(squishnative) for C++ users: the static library, its headers and a version check.

include(CMakePackageConfigHelpers)

set(SQUISH_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/squishnative)

install(TARGETS squish EXPORT squishnativeTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/cpp/include/squish
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT squishnativeTargets NAMESPACE squishnative::
        DESTINATION ${SQUISH_CONFIG_DIR} COMPONENT development)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/squishnativeConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/squishnativeConfig.cmake
                              INSTALL_DESTINATION ${SQUISH_CONFIG_DIR})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/squishnativeConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/squishnativeConfig.cmake
              ${PROJECT_BINARY_DIR}/squishnativeConfigVersion.cmake
        DESTINATION ${SQUISH_CONFIG_DIR} COMPONENT development)
