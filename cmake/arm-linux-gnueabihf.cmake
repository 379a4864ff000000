# Cross build for 32-bit ARM, from Armv7 on: a Raspberry Pi OS of 32 bits. Its tests run here under user-mode emulation. On
# Debian and Ubuntu:
#   apt install g++-arm-linux-gnueabihf qemu-user-static

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)  # GoogleTest's build asks for one
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)

# A Cortex-A7 has no more than what the kernels for NEON ask for, so a newer instruction that slips in is found.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm-static -cpu cortex-a7 -L /usr/arm-linux-gnueabihf)
# NEON, but no fused multiply-adds; and no NEON at all, as on a Tegra 2, so that one that slips in elsewhere is found.
set(SQUISH_EMULATOR_OF_A_CORE_WITHOUT_NEON qemu-arm-static -cpu cortex-a9,neon=off -L /usr/arm-linux-gnueabihf)
set(SQUISH_EMULATOR_OF_AN_OLDER_CORE qemu-arm-static -cpu cortex-a9 -L /usr/arm-linux-gnueabihf)

set(CMAKE_FIND_ROOT_PATH /usr/arm-linux-gnueabihf)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
