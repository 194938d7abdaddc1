# How a room is built: im_library(), im_daemon(), im_test(), im_fuzz(), im_bench().

add_library(im_flags INTERFACE)
# By itself gcc zeroes and copies structs with "rep stos" and "rep movs", which take tens of cycles to begin.
set(_is_gcc_x86 "$<AND:$<C_COMPILER_ID:GNU>,$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>,$<CONFIG:Release>>")
set(_small_blocks "unrolled_loop:256:noalign,libcall:-1:noalign")
set(_block_flags "$<${_is_gcc_x86}:-mmemset-strategy=${_small_blocks}>" "$<${_is_gcc_x86}:-mmemcpy-strategy=${_small_blocks}>")
target_compile_definitions(im_flags INTERFACE _GNU_SOURCE)
target_compile_options(im_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Werror=implicit-function-declaration -fno-strict-aliasing
  -fstack-protector-strong -fno-omit-frame-pointer $<$<CONFIG:Release,RelWithDebInfo>:-O2>
  # gcc 12 may give two variables that live at once one place on the stack: services/audit/hasher_test.c crashes without this.
  $<$<AND:$<C_COMPILER_ID:GNU>,$<CONFIG:Release,RelWithDebInfo>>:-fstack-reuse=none>
  ${_block_flags})
target_link_options(im_flags INTERFACE -Wl,-z,relro,-z,now ${_block_flags})
target_include_directories(im_flags INTERFACE "${CMAKE_SOURCE_DIR}/lib" "${CMAKE_SOURCE_DIR}/services"
  "${CMAKE_SOURCE_DIR}/client/include")
if(INFERMESH_SANITIZE)
  target_compile_options(im_flags INTERFACE -fsanitize=${INFERMESH_SANITIZE} -fno-sanitize-recover=all)
  string(REPLACE ",fuzzer-no-link" "" _link "${INFERMESH_SANITIZE}")
  target_link_options(im_flags INTERFACE -fsanitize=${_link})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(im_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

# im_library(NAME SOURCES... [LINK targets...])
function(im_library name)
  cmake_parse_arguments(A "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${A_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC im_flags Threads::Threads ${A_LINK})
endfunction()

# im_program(NAME FOLDER SOURCES... [LINK targets...]): a program in build/FOLDER.
function(im_program name folder)
  cmake_parse_arguments(A "" "" "LINK" ${ARGN})
  add_executable(${name} ${A_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE im_flags ${A_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/${folder}")
endfunction()

# im_daemon(NAME main.c [LIBC_MALLOC] [LINK targets...]): an installed program. Its malloc is mimalloc's, unless it says LIBC_MALLOC
# (docs/adr/0006-allocator.md).
function(im_daemon name)
  cmake_parse_arguments(D "LIBC_MALLOC" "" "" ${ARGN})
  im_program(${name} bin ${D_UNPARSED_ARGUMENTS})
  if(NOT INFERMESH_SANITIZE AND NOT D_LIBC_MALLOC)
    # Said to be needed: before link-time optimisation the linker sees nobody who calls it.
    target_link_libraries(${name} PRIVATE "-Wl,--push-state,--no-as-needed,${MIMALLOC_LIBRARY},--pop-state")
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# These take seconds, with sanitizers tens of them: ctest begins with them, else one would run alone at the end.
set(IM_LONG_TESTS audit_crash_test audit_fault_test audit_prune_test audit_tlog_test audit_turn_test audit_verify_test
  cache_redis_cluster_test cache_rocks_test gateway_test redis_link_test router_cost_test)

# im_test(NAME x_test.c... [LINK targets...]): a cmocka program that ctest runs.
function(im_test name)
  if(NOT INFERMESH_TESTS)
    return()
  endif()
  im_program(${name} tests ${ARGN})
  target_link_libraries(${name} PRIVATE PkgConfig::cmocka)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  if(name IN_LIST IM_LONG_TESTS)
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
endfunction()

# im_fuzz(NAME x_fuzz.c... [LINK targets...]): LLVMFuzzerTestOneInput(). With INFERMESH_FUZZ a libFuzzer program; else a
# program that replays tests/fuzz/corpus/NAME, run by ctest.
function(im_fuzz name)
  if(NOT INFERMESH_TESTS)
    return()
  endif()
  im_program(${name} fuzz ${ARGN})
  if(INFERMESH_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c")
    add_test(NAME ${name} COMMAND ${name} "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}")
    set_tests_properties(${name} PROPERTIES TIMEOUT 60)
  endif()
endfunction()

# im_bench(NAME x_bench.c... [LINK targets...]): a program that './dev bench' runs.
function(im_bench name)
  if(INFERMESH_TESTS)
    im_program(${name} bench ${ARGN})
  endif()
endfunction()
