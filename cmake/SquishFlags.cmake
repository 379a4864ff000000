# How all our code is compiled. Included once, by the top CMakeLists.txt.

# Xcode counts its own versions; its 14 is the first after LLVM's 14.
set(SQUISH_OLDEST_GNU 9)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(SQUISH_OLDEST_GNU 7)  # JetPack 4's
endif()
set(SQUISH_OLDEST_Clang 14)
set(SQUISH_OLDEST_AppleClang 14)
set(oldest ${SQUISH_OLDEST_${CMAKE_CXX_COMPILER_ID}})
if(NOT oldest OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS oldest)
  message(FATAL_ERROR "squishnative needs GCC >= ${SQUISH_OLDEST_GNU}, Clang >= 14 or Apple's Clang >= 14, "
                      "got ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endif()

if(CMAKE_SIZEOF_VOID_P LESS 8 AND NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(arm|aarch64)")
  message(FATAL_ERROR "squishnative needs a 64-bit target, or 32-bit Arm: others of "
                      "${CMAKE_SIZEOF_VOID_P} bytes a pointer have not been tested")
endif()

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Left to itself a compiler fuses a * b + c where it likes, and results change with it. Kernels that want a
# fused multiply-add write one. (CUDA's fuses where it can, which the tests' bounds allow for.)
# -ffast-math in a project's flags would do so, and take out the checks for what is not finite. (Clang warns where it is
# taken back while contraction is still on.)
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-ffp-contract=off -fno-fast-math -ffp-contract=off>")

# Kernels of an instruction set are compiled with flags of their own, and files name what is theirs alone as they like.
set(CMAKE_UNITY_BUILD OFF)

if(CMAKE_SIZEOF_VOID_P LESS 8)
  add_compile_definitions(_FILE_OFFSET_BITS=64)  # files larger than 2 GB, and numbers of inodes and places in folders
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-psabi)  # tells of every parameter that is passed as in GCC 7.1 and later, which all of ours are
  endif()
endif()

if(SQUISH_SANITIZE)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SQUISH_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=${SQUISH_SANITIZE})
endif()

# Only for our own targets: GoogleTest may be built from source beside them.
add_library(squish_warnings INTERFACE)
target_compile_options(squish_warnings INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow>")
if(SQUISH_WERROR)
  target_compile_options(squish_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()
