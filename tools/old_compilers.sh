#!/usr/bin/env bash
# Builds and tests what is committed with the oldest compilers that cmake/SquishFlags.cmake lets through, in the systems they
# come from: GCC 9 of Ubuntu 20.04, and GCC 7 for 64-bit Arm of Ubuntu 18.04, which is JetPack 4's, under qemu.
#
#     sudo tools/old_compilers.sh FOLDER [9] [7]
#
# Needs, on Debian or Ubuntu:
#     apt install debootstrap ubuntu-keyring qemu-user-static googletest
# and the .venv that `make lint` makes, for its CMake. Where there is no ubuntu-keyring, UBUNTU_MIRROR must name a mirror,
# and nobody checks the signatures of what comes from it. The systems stay in FOLDER, 2 GB each: a later call compiles only
# what has changed.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(realpath -m "${1:?"wanted a folder: sudo tools/old_compilers.sh FOLDER [9] [7]"}")
shift

# make_system RELEASE PACKAGE: Ubuntu in $root with a compiler, CMake, GoogleTest's source and the project.
make_system() {
  root=$folder/$1
  local new=$root.incomplete
  if [ ! -d "$root" ]; then
    rm -rf --one-file-system "$new"
    mkdir -p "$folder"
    [ -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ] ||
      : "${UBUNTU_MIRROR:?"no ubuntu-keyring: wanted a mirror, whose packages nobody checks"}"
    debootstrap --variant=minbase --components=main,universe --include="$2" "$1" "$new" ${UBUNTU_MIRROR:+"$UBUNTU_MIRROR"}
    cp -r "$("$project/.venv/bin/python" -c 'import cmake; print(cmake.CMAKE_DATA)')" "$new/opt/cmake"
    cp "$project/.venv/bin/ninja" "$(command -v qemu-aarch64-static)" "$new/usr/bin/"
    cp -r /usr/src/googletest "$new/usr/src/"
    git clone --quiet "$project" "$new/project"
    mv "$new" "$root"
  fi
  git -C "$root/project" fetch --quiet origin HEAD
  git -C "$root/project" checkout --quiet --force FETCH_HEAD
}

# test_preset PRESET VERSION PREFIX FOLDER OPTION...: with PREFIXgcc-VERSION, which gets the name that the preset asks for
# and builds GoogleTest into FOLDER; options are CMake's.
test_preset() {
  unshare --mount chroot "$root" bash -euc "
    mount -t proc proc /proc
    export PATH=/opt/cmake/bin:\$PATH CC=$3gcc CXX=$3g++
    ln -sf $3gcc-$2 /usr/bin/$3gcc
    ln -sf $3g++-$2 /usr/bin/$3g++
    if [ ! -e $4/include/gtest ]; then
      cmake -S /usr/src/googletest -B /tmp/googletest -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_GMOCK=OFF \\
        -DCMAKE_INSTALL_PREFIX=$4
      ninja -C /tmp/googletest install
    fi
    cd /project
    cmake --preset $1 -DSQUISH_CUDA=OFF ${*:5}
    cmake --build --preset $1
    ctest --preset $1 --parallel $(nproc)"
}

[ $# -gt 0 ] || set -- 9 7
for version in "$@"; do
  case $version in
    9)
      make_system focal g++-9
      test_preset dev 9 "" /usr
      ;;
    7) # warns of names and conversions that later ones find right
      make_system bionic g++-7-aarch64-linux-gnu
      test_preset aarch64 7 aarch64-linux-gnu- /usr/aarch64-linux-gnu -DSQUISH_WERROR=OFF
      ;;
    *) echo "got GCC $version, wanted 9 or 7" >&2 && exit 2 ;;
  esac
done
