# Dependencies. Jansson is always needed. Every other one is optional, sits behind one file of ours and has a stand-in
# named *_absent.c: gradus_part() picks the file, so the code needs no #ifdef.
#
# gradus_dependencies collects what the library links; gradus_pc_libs and gradus_pc_requires say the same to pkg-config.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
add_library(gradus_dependencies INTERFACE)
target_link_libraries(gradus_dependencies INTERFACE Threads::Threads ${CMAKE_DL_LIBS})
set(gradus_pc_libs "-pthread")
set(gradus_pc_requires "")
if(NOT APPLE)
    target_link_libraries(gradus_dependencies INTERFACE m)
    string(APPEND gradus_pc_libs " -lm")
endif()
foreach(library ${CMAKE_DL_LIBS})
    string(APPEND gradus_pc_libs " -l${library}")
endforeach()

# The portable build takes archives only.
if(GRADUS_PORTABLE)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()

find_path(JANSSON_INCLUDE_DIR jansson.h)
find_library(JANSSON_LIBRARY jansson)
if(NOT JANSSON_INCLUDE_DIR OR NOT JANSSON_LIBRARY)
    message(FATAL_ERROR "Jansson (a JSON library) is missing. Run tools/setup, or install libjansson-dev "
                        "(Debian), jansson-devel (Fedora), jansson (Arch, Homebrew) or jansson-dev (Alpine).")
endif()
# Vendored-style headers are third-party: SYSTEM keeps their warnings out of ours.
target_include_directories(gradus_dependencies SYSTEM INTERFACE "${JANSSON_INCLUDE_DIR}")
target_link_libraries(gradus_dependencies INTERFACE "${JANSSON_LIBRARY}")
string(APPEND gradus_pc_requires " jansson")

# gradus_part(name implementation): of src/**/<name>_*.c keep <name>_<implementation>.c, drop the other choices.
set(gradus_parts "")
macro(gradus_part name implementation)
    list(APPEND gradus_parts ${name})
    set(gradus_part_${name} ${implementation})
    message(STATUS "Gradus: ${name} is ${implementation}")
endmacro()

include(cmake/blas.cmake)
