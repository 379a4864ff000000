# The instruction sets of the target architecture. Each has one source file a library, the only one that is
# built with its flags.
set(SQUISH_ARCHITECTURE ${CMAKE_SYSTEM_PROCESSOR})
if(APPLE AND CMAKE_OSX_ARCHITECTURES)  # what is built for there, whatever the machine
  set(SQUISH_ARCHITECTURE ${CMAKE_OSX_ARCHITECTURES})
  list(LENGTH SQUISH_ARCHITECTURE count)
  if(count GREATER 1)
    message(FATAL_ERROR "CMAKE_OSX_ARCHITECTURES: got ${SQUISH_ARCHITECTURE}, wanted one: each has its own kernels. "
                        "Build one by one and join them with lipo")
  endif()
endif()
# Integer arithmetic wants instructions of its own: a list beside the other.
set(SQUISH_ISAS scalar)
set(SQUISH_INTEGER_ISAS scalar)
if(SQUISH_ARCHITECTURE MATCHES "^(x86_64|amd64|AMD64)$")
  list(APPEND SQUISH_ISAS avx2 avx512)
  list(APPEND SQUISH_INTEGER_ISAS avx2 avx512vnni avx512vbmi)
  # GCC from 11 on, and an assembler that knows the encoding.
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_FLAGS "-mavx2 -mavxvnni")
  check_cxx_source_compiles("int main() { asm(\"%{vex%} vpdpbusd %%ymm0, %%ymm0, %%ymm0\" ::: \"xmm0\"); }"
    SQUISH_ASSEMBLES_AVXVNNI)
  unset(CMAKE_REQUIRED_FLAGS)
  if(SQUISH_ASSEMBLES_AVXVNNI)
    list(APPEND SQUISH_INTEGER_ISAS avxvnni)
  endif()
elseif(SQUISH_ARCHITECTURE MATCHES "^(aarch64|arm64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  list(APPEND SQUISH_ISAS neon)  # part of every 64-bit ARM: no flags
  list(APPEND SQUISH_INTEGER_ISAS neon)
  include(CheckCXXCompilerFlag)
  set(SQUISH_ISA_FLAGS_neondot -march=armv8.2-a+dotprod)
  check_cxx_compiler_flag(${SQUISH_ISA_FLAGS_neondot} SQUISH_COMPILES_NEONDOT)  # GCC from 8 on
  if(SQUISH_COMPILES_NEONDOT)
    list(APPEND SQUISH_INTEGER_ISAS neondot)
    set(SQUISH_ISA_FLAGS_neoni8mm -march=armv8.2-a+dotprod+i8mm)
    check_cxx_compiler_flag(${SQUISH_ISA_FLAGS_neoni8mm} SQUISH_COMPILES_NEONI8MM)  # GCC from 10 on
    if(SQUISH_COMPILES_NEONI8MM)
      list(APPEND SQUISH_INTEGER_ISAS neoni8mm)
    endif()
    # GCC would read all weights of a pair of columns before their products, and has no registers for them.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      list(APPEND SQUISH_ISA_FLAGS_neoni8mm -fno-schedule-insns)
    endif()
  endif()
elseif(SQUISH_ARCHITECTURE MATCHES "^(arm|aarch64)")  # 32 bits, which the kernel of a Raspberry Pi OS may well have 64 of
  include(CheckCXXSourceCompiles)
  set(fused "#include <arm_neon.h>
    int main() { return vgetq_lane_f32(vfmaq_f32(vdupq_n_f32(1), vdupq_n_f32(1), vdupq_n_f32(1)), 0) != 2; }")
  set(CMAKE_REQUIRED_FLAGS "-mfpu=neon-vfpv4")
  check_cxx_source_compiles("${fused}" SQUISH_COMPILES_NEON)
  set(CMAKE_REQUIRED_FLAGS "-march=armv7-a -mfpu=neon-vfpv4")  # where the compiler's own choice is older
  check_cxx_source_compiles("${fused}" SQUISH_COMPILES_NEON_OF_ARMV7)
  unset(CMAKE_REQUIRED_FLAGS)
  if(SQUISH_COMPILES_NEON)
    set(SQUISH_ISA_FLAGS_neon -mfpu=neon-vfpv4)
  elseif(SQUISH_COMPILES_NEON_OF_ARMV7)
    set(SQUISH_ISA_FLAGS_neon -march=armv7-a -mfpu=neon-vfpv4)
  endif()
  if(SQUISH_ISA_FLAGS_neon)
    list(APPEND SQUISH_ISAS neon)
    list(APPEND SQUISH_INTEGER_ISAS neon)
  endif()
endif()
set(SQUISH_ISA_FLAGS_avx2 -mavx2 -mfma)
set(SQUISH_ISA_FLAGS_avxvnni ${SQUISH_ISA_FLAGS_avx2} -mavxvnni)
set(SQUISH_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
set(SQUISH_ISA_FLAGS_avx512vnni ${SQUISH_ISA_FLAGS_avx512} -mavx512vnni)
set(SQUISH_ISA_FLAGS_avx512vbmi ${SQUISH_ISA_FLAGS_avx512} -mavx512vbmi)

# Unrolled tiles keep GCC busy for ten minutes under sanitizers that look at every accumulator, to find nothing: their
# indices are constants. Arrays on the heap, which is all that kernels are given, stay checked, and the scalar build of
# the same bodies keeps UndefinedBehaviorSanitizer.
if(SQUISH_SANITIZE)
  foreach(isa IN LISTS SQUISH_ISAS SQUISH_INTEGER_ISAS)
    if(NOT isa STREQUAL "scalar")
      list(APPEND SQUISH_ISA_FLAGS_${isa} -fno-sanitize=undefined)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      list(APPEND SQUISH_ISA_FLAGS_${isa} --param=asan-stack=0)
    endif()
  endforeach()
endif()

# Adds STEM_<isa>.cc of every instruction set of `isas` to a target. <have><ISA> tells its other files which there are.
function(squish_add_isa_sources target stem isas have)
  foreach(isa IN LISTS ${isas})
    set(source ${stem}_${isa}.cc)
    target_sources(${target} PRIVATE ${source})
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${SQUISH_ISA_FLAGS_${isa}}")
    string(TOUPPER ${have}${isa} have_isa)
    target_compile_definitions(${target} PRIVATE ${have_isa})
  endforeach()
endfunction()
