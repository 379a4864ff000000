# squish_add_refusal_test(NAME TARGET STATUS TEXT ARGUMENT...): the tool exits with STATUS and says TEXT. ctest's own
# PASS_REGULAR_EXPRESSION would not look at the status: a crash after the message would pass.
function(squish_add_refusal_test name target status text)
  add_test(NAME ${name} COMMAND ${CMAKE_COMMAND}
    "-DCOMMAND=${CMAKE_CROSSCOMPILING_EMULATOR};$<TARGET_FILE:${target}>;${ARGN}" -DSTATUS=${status} "-DTEXT=${text}"
    -P ${PROJECT_SOURCE_DIR}/cmake/expect_refusal.cmake)
endfunction()
