# The body of squish_add_refusal_test, run by cmake -P.
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE got ERROR_VARIABLE output OUTPUT_QUIET)
string(FIND "${output}" "${TEXT}" found)
if(NOT got STREQUAL STATUS OR found EQUAL -1)
  message(FATAL_ERROR "got exit status ${got} and '${output}', wanted ${STATUS} and '${TEXT}'")
endif()
