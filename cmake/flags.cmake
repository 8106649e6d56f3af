# gradus_flags: how all of our own C is compiled. gradus_internal: that, and the view from inside src/.
add_library(gradus_flags INTERFACE)
target_compile_options(gradus_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla)
if(GRADUS_WERROR)
    target_compile_options(gradus_flags INTERFACE -Werror)
endif()

if(GRADUS_SANITIZE)
    # UBSan's default is to print and go on, and a test would pass; frame pointers make the reports readable.
    set(sanitize_options -fsanitize=${GRADUS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    # Clang vectorizes no loop with checks in it, and would say so of each.
    target_compile_options(gradus_flags INTERFACE ${sanitize_options} $<$<C_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>)
    target_link_options(gradus_flags INTERFACE -fsanitize=${GRADUS_SANITIZE})
endif()
if(GRADUS_COVERAGE)
    target_compile_options(gradus_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(gradus_flags INTERFACE --coverage)
endif()
if(GRADUS_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "GRADUS_FUZZ needs clang, the compiler is ${CMAKE_C_COMPILER_ID}: configure with CC=clang")
    endif()
    target_compile_options(gradus_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(GRADUS_PORTABLE AND NOT APPLE)
    target_link_options(gradus_flags INTERFACE -static-libgcc -Wl,--as-needed)
endif()

add_library(gradus_internal INTERFACE)
target_link_libraries(gradus_internal INTERFACE gradus_flags)
target_include_directories(gradus_internal INTERFACE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
# POSIX and beyond under -std=c11. The values are empty so that a source's own #define of them is no redefinition.
target_compile_definitions(gradus_internal INTERFACE _GNU_SOURCE= _DARWIN_C_SOURCE=)
