# Tests (ctest), examples, benchmarks, fuzz targets.
#
#   tests/*_test.c   a program each: exit 0 passed, 77 skipped, anything else failed. Other tests/*.c are linked into all.
#   tests/*.sh       a script each, run by sh, same exit codes
#   examples/*.c     a program each that sees only include/gradus.h and libgradus; C99
#   bench/*.c        a program each, built, run by hand or `make bench`
#   fuzz/fuzz_*.c    a libFuzzer target each; without libFuzzer it replays fuzz/corpus/<target>/ as a test
#
# A source with a line "labels: slow" among its first five gets that label; all others get "quick".
set(gradus_bin "${PROJECT_BINARY_DIR}/gradus")
if(CMAKE_CROSSCOMPILING_EMULATOR)
    # Scripts call $GRADUS_BIN as a command, so a foreign executable gets a wrapper that starts the emulator.
    string(REPLACE ";" " " emulator "${CMAKE_CROSSCOMPILING_EMULATOR}")
    file(WRITE "${PROJECT_BINARY_DIR}/gradus-emulated" "#!/bin/sh\nexec ${emulator} '${gradus_bin}' \"$@\"\n")
    execute_process(COMMAND chmod +x "${PROJECT_BINARY_DIR}/gradus-emulated")
    set(gradus_bin "${PROJECT_BINARY_DIR}/gradus-emulated")
endif()
# What kind of build this is, for tests that make sense in some only.
set(kind plain)
if(CMAKE_CROSSCOMPILING)
    set(kind cross)
elseif(GRADUS_SANITIZE)
    set(kind sanitized)
elseif(GRADUS_COVERAGE OR GRADUS_FUZZ)
    set(kind instrumented)
elseif(GRADUS_PORTABLE)
    set(kind portable)
endif()
get_filename_component(shared_dir "${GRADUS_SHARED}" ABSOLUTE)
# No detect_stack_use_after_return: GCC 12 lays 64-byte vectors on that fake stack misaligned, and AVX-512 kernels crash.
set(test_environment "GRADUS_SHARED=${shared_dir}" "GRADUS_SOURCE=${PROJECT_SOURCE_DIR}" "GRADUS_BIN=${gradus_bin}"
    "GRADUS_BUILD=${PROJECT_BINARY_DIR}" "GRADUS_COMPILER=${CMAKE_C_COMPILER}" "GRADUS_CMAKE=${CMAKE_COMMAND}"
    "GRADUS_KIND=${kind}" "XDG_CACHE_HOME=${PROJECT_BINARY_DIR}/tests/cache"
    "POCL_CACHE_DIR=${PROJECT_BINARY_DIR}/tests/cache/pocl" "ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=0"
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1" "TSAN_OPTIONS=halt_on_error=1")

# describe_test(name source): environment, working folder, labels and limits of a test.
function(describe_test name source)
    set(labels quick)
    file(STRINGS "${source}" label_line LIMIT_COUNT 5 REGEX "labels: ")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
    if(label_line)
        string(REGEX REPLACE ".*labels: *([a-z ]+[a-z]).*" "\\1" labels "${label_line}")
        string(REPLACE " " ";" labels "${labels}")
    endif()
    set(limit 900)
    if("slow" IN_LIST labels)
        set(limit 2700) # on a busy machine
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${labels}" ENVIRONMENT "${test_environment}" TIMEOUT ${limit}
                         SKIP_RETURN_CODE 77 WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
endfunction()
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/tests/cache/pocl") # compiled GPU kernels: the build's own

file(GLOB test_sources CONFIGURE_DEPENDS tests/*_test.c)
file(GLOB test_helpers CONFIGURE_DEPENDS tests/*.c)
list(FILTER test_helpers EXCLUDE REGEX "_test\\.c$")
add_library(gradus_test_helpers INTERFACE)
target_include_directories(gradus_test_helpers INTERFACE tests)
target_link_libraries(gradus_test_helpers INTERFACE gradus_internal)
if(test_helpers)
    add_library(gradus_test_objects STATIC ${test_helpers})
    target_link_libraries(gradus_test_objects PRIVATE gradus_internal gradus_static gradus_dependencies)
    target_link_libraries(gradus_test_helpers INTERFACE gradus_test_objects)
endif()
foreach(source ${test_sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    target_link_libraries(${name} PRIVATE gradus_test_helpers gradus_static gradus_dependencies)
    add_test(NAME ${name} COMMAND ${name})
    describe_test(${name} ${source})
endforeach()

file(GLOB test_scripts CONFIGURE_DEPENDS tests/*.sh)
foreach(source ${test_scripts})
    get_filename_component(name ${source} NAME_WE)
    add_test(NAME ${name} COMMAND sh ${source})
    describe_test(${name} ${source})
endforeach()

file(GLOB example_sources CONFIGURE_DEPENDS examples/*.c)
foreach(source ${example_sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_${name} ${source})
    set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name} C_STANDARD 99
                          RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/examples")
    target_link_libraries(example_${name} PRIVATE $<IF:$<BOOL:${GRADUS_PORTABLE}>,gradus_static,gradus_shared> gradus_flags)
    if(NOT APPLE)
        target_link_libraries(example_${name} PRIVATE m)
    endif()
    add_test(NAME example_${name} COMMAND example_${name})
    describe_test(example_${name} ${source})
endforeach()

file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.c)
foreach(source ${bench_sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(bench_${name} ${source})
    set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
    target_link_libraries(bench_${name} PRIVATE gradus_internal gradus_static gradus_dependencies)
endforeach()

file(GLOB fuzz_sources CONFIGURE_DEPENDS fuzz/fuzz_*.c)
foreach(source ${fuzz_sources})
    get_filename_component(name ${source} NAME_WE)
    set(corpus "${PROJECT_SOURCE_DIR}/fuzz/corpus/${name}")
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
    target_link_libraries(${name} PRIVATE gradus_test_helpers gradus_static gradus_dependencies)
    # libFuzzer calls a function that no header declares. (A source's options come after its target's.)
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
    if(GRADUS_FUZZ)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        # A short smoke run; `make fuzz` is the long one. New inputs go to the first folder.
        set(found "${PROJECT_BINARY_DIR}/fuzz-corpus/${name}")
        file(MAKE_DIRECTORY "${found}")
        add_test(NAME ${name} COMMAND ${name} -runs=20000 -max_total_time=60 "${found}" "${corpus}")
    else()
        target_sources(${name} PRIVATE fuzz/replay.c)
        add_test(NAME ${name} COMMAND ${name} "${corpus}")
    endif()
    describe_test(${name} ${source})
endforeach()
