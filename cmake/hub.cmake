# libcurl fetches models from a hub: opened at run time where it is there, never linked, so that neither building nor starting
# needs it.
option(GRADUS_CURL "Open libcurl at run time to fetch models" ON)
if(GRADUS_CURL)
    gradus_part(http curl)
    list(APPEND gradus_libraries "libcurl (opened where it is there)")
else()
    gradus_part(http absent)
endif()
