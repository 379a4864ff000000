# The cross build for 64-bit ARM with the device cuda, for Jetson Orin: SQUISH_CROSS_CUDA is what
# tools/cuda/cross_toolkit.py has made.
include(${CMAKE_CURRENT_LIST_DIR}/aarch64-linux-gnu.cmake)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SQUISH_CROSS_CUDA)
set(CMAKE_CUDA_COMPILER ${SQUISH_CROSS_CUDA}/bin/nvcc)
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
set(CUDAToolkit_ROOT ${SQUISH_CROSS_CUDA})
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 87)
endif()
list(APPEND CMAKE_FIND_ROOT_PATH ${SQUISH_CROSS_CUDA}/targets/sbsa-linux)
# The toolkit lies outside the roots that all else must be found in.
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
