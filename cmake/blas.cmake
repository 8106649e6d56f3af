# OpenBLAS behind f32 matmul on machines without AVX2: opened at run time where it is there, never linked.
if(GRADUS_BLAS)
    gradus_part(blas dynamic)
    list(APPEND gradus_libraries "OpenBLAS (opened where it is there)")
    if(CMAKE_LIBRARY_ARCHITECTURE)
        set_source_files_properties(src/backend/cpu/blas_dynamic.c PROPERTIES
                                    COMPILE_DEFINITIONS "GR_MULTIARCH=\"${CMAKE_LIBRARY_ARCHITECTURE}\"")
    endif()
else()
    gradus_part(blas absent)
endif()
