# libgradus. Every source is compiled once (position-independent, everything hidden that is not GR_API) and goes into
# both the archive and the shared library.
file(GLOB_RECURSE sources CONFIGURE_DEPENDS src/*.c)
list(FILTER sources EXCLUDE REGEX "/src/cli/")
foreach(part ${gradus_parts})
    list(FILTER sources EXCLUDE REGEX "/${part}_(absent|curl|dynamic|pcre2|utf8proc)\\.c$")
    file(GLOB_RECURSE chosen CONFIGURE_DEPENDS "src/${part}_${gradus_part_${part}}.c")
    list(APPEND sources ${chosen})
endforeach()
set(kernels ${sources})
list(FILTER kernels INCLUDE REGEX "/src/backend/cpu/kernels/")
list(FILTER sources EXCLUDE REGEX "/src/backend/cpu/kernels/")

# GPU kernels are text that is compiled where it runs; the library carries it.
file(GLOB gpu_kernels CONFIGURE_DEPENDS src/backend/gpu/kernels/*.k)
set(gpu_source "${PROJECT_BINARY_DIR}/gpu_kernels.c")
add_custom_command(
    OUTPUT "${gpu_source}"
    COMMAND "${CMAKE_COMMAND}" "-DOUT=${gpu_source}" "-DFILES=${gpu_kernels}" -P "${PROJECT_SOURCE_DIR}/cmake/kernels.cmake"
    DEPENDS ${gpu_kernels} "${PROJECT_SOURCE_DIR}/cmake/kernels.cmake"
    VERBATIM)
list(APPEND sources "${gpu_source}")

set(objects "")
function(add_objects name)
    add_library(${name} OBJECT ${ARGN})
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
    target_link_libraries(${name} PRIVATE gradus_internal gradus_dependencies)
    set(objects ${objects} $<TARGET_OBJECTS:${name}> PARENT_SCOPE)
endfunction()
add_objects(gradus_objects ${sources})

# Kernels are compiled once per ISA level, which they paste onto their symbols (GR_ISA), and picked at run time. Fused
# multiply-adds and no errno or trap bookkeeping let loops vectorize; NaN and infinity keep their meaning.
set(isa_generic "")
set(isa_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(isa_avx2_vnni ${isa_avx2} -mavxvnni)
set(isa_avx512 ${isa_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
set(isa_avx512_vnni ${isa_avx512} -mavx512vnni)
set(isa_avx512_bf16 ${isa_avx512_vnni} -mavx512bf16)
set(isa_amx ${isa_avx512_bf16} -mamx-tile -mamx-bf16)
set(isa_levels generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    list(APPEND isa_levels avx2 avx512 avx512_vnni avx512_bf16)
    target_compile_definitions(gradus_internal INTERFACE GR_HAVE_ISA_AVX2=1 GR_HAVE_ISA_AVX512=1)
    include(CheckCCompilerFlag) # GCC 11 and Clang 12 have both
    check_c_compiler_flag("-mavxvnni" gradus_compiler_has_avx2_vnni)
    check_c_compiler_flag("-mamx-tile -mamx-bf16" gradus_compiler_has_amx)
    if(gradus_compiler_has_avx2_vnni)
        list(INSERT isa_levels 2 avx2_vnni)
        target_compile_definitions(gradus_internal INTERFACE GR_HAVE_ISA_AVX2_VNNI=1)
    endif()
    if(gradus_compiler_has_amx AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
        list(APPEND isa_levels amx)
        target_compile_definitions(gradus_internal INTERFACE GR_HAVE_ISA_AMX=1)
    endif()
endif()
string(REPLACE ";" ", " isa_names "${isa_levels}")
string(REPLACE ";" ", " library_names "${gradus_libraries}")
if(NOT library_names)
    set(library_names none)
endif()
set_source_files_properties(src/backend/build.c PROPERTIES COMPILE_DEFINITIONS
                            "GR_BUILD_ISA=\"${isa_names}\";GR_BUILD_LIBRARIES=\"${library_names}\"")
if(kernels)
    # The tiles are unrolled as they are written: -O3 takes six times as long for the same loops.
    set_source_files_properties(src/backend/cpu/kernels/gemm_micro.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O2>)
    foreach(isa ${isa_levels})
        set(of_level ${kernels}) # of the highest levels only what gains by them
        list(FILTER of_level EXCLUDE REGEX "_(bf16|amx)\\.c$")
        if(isa MATCHES "_vnni$")
            list(FILTER of_level INCLUDE REGEX "/int8(_one)?\\.c$")
        elseif(isa STREQUAL avx512_bf16)
            set(of_level ${kernels})
            list(FILTER of_level INCLUDE REGEX "_bf16\\.c$")
        elseif(isa STREQUAL amx)
            set(of_level ${kernels})
            list(FILTER of_level INCLUDE REGEX "_amx\\.c$")
        endif()
        add_objects(gradus_kernels_${isa} ${of_level})
        target_compile_definitions(gradus_kernels_${isa} PRIVATE GR_ISA=${isa})
        target_compile_options(gradus_kernels_${isa} PRIVATE
            ${isa_${isa}} $<$<CONFIG:Release>:-O3> -ffp-contract=fast -fno-math-errno -fno-trapping-math)
    endforeach()
endif()

# Until 1.0 a minor version may break programs that are linked already, so it is in the name that they look for.
set(soversion ${PROJECT_VERSION_MAJOR})
if(soversion EQUAL 0)
    set(soversion 0.${PROJECT_VERSION_MINOR})
endif()
add_library(gradus_static STATIC ${objects})
add_library(gradus_shared SHARED ${objects})
set_target_properties(gradus_static gradus_shared PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME gradus)
set_target_properties(gradus_static PROPERTIES EXPORT_NAME gradus_static)
set_target_properties(gradus_shared PROPERTIES EXPORT_NAME gradus VERSION ${PROJECT_VERSION} SOVERSION ${soversion})
foreach(library gradus_static gradus_shared)
    target_include_directories(${library} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:gradus_dependencies> $<BUILD_INTERFACE:gradus_flags>)
endforeach()
# A portable build is one executable: static archives of other libraries need not fit into a shared one.
if(GRADUS_PORTABLE)
    set_target_properties(gradus_shared PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
add_library(gradus::gradus ALIAS gradus_shared)
add_library(gradus::gradus_static ALIAS gradus_static)

# Symbols carry the version GRADUS_0, so that a program linked today finds the same functions in a later library.
if(NOT APPLE)
    set(version_script "${PROJECT_SOURCE_DIR}/cmake/gradus.map")
    target_link_options(gradus_shared PRIVATE "LINKER:--version-script=${version_script}")
    set_target_properties(gradus_shared PROPERTIES LINK_DEPENDS "${version_script}")
    if(NOT GRADUS_SANITIZE)
        target_link_options(gradus_shared PRIVATE LINKER:--no-undefined)
    endif()
endif()
