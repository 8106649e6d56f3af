# Dependencies. None but the C library is needed. Each of the others is optional, sits behind one file of ours and has a stand-in
# named *_absent.c: gradus_part() picks the file, so the code needs no #ifdef.
#
# gradus_dependencies collects what the library links; gradus_private_libraries says the same, by name, to programs that
# link an installed libgradus.a.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
add_library(gradus_dependencies INTERFACE)
target_link_libraries(gradus_dependencies INTERFACE Threads::Threads ${CMAKE_DL_LIBS})
set(gradus_private_libraries ${CMAKE_DL_LIBS})
set(gradus_private_folders "")
if(NOT APPLE)
    target_link_libraries(gradus_dependencies INTERFACE m)
    list(APPEND gradus_private_libraries m)
endif()

# gradus_depend(name library include_dir): a library found on this machine. Its headers are SYSTEM: their warnings are
# not ours.
macro(gradus_depend name library include_dir)
    target_include_directories(gradus_dependencies SYSTEM INTERFACE "${include_dir}")
    target_link_libraries(gradus_dependencies INTERFACE "${library}")
    list(APPEND gradus_private_libraries ${name})
    get_filename_component(folder "${library}" DIRECTORY)
    if(NOT folder IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
        list(APPEND gradus_private_folders "${folder}")
    endif()
endmacro()

# The portable build takes archives only.
if(GRADUS_PORTABLE)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()

# gradus_part(name implementation): of src/**/<name>_*.c keep <name>_<implementation>.c, drop the other choices.
set(gradus_parts "")
macro(gradus_part name implementation)
    list(APPEND gradus_parts ${name})
    set(gradus_part_${name} ${implementation})
    message(STATUS "Gradus: ${name} is ${implementation}")
endmacro()

set(gradus_libraries "") # what gr_library_info says
include(cmake/blas.cmake)
include(cmake/text.cmake)
include(cmake/hub.cmake)
