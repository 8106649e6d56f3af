# make install: headers, both libraries, the command, what pkg-config and find_package need, man pages, completions.
# Nothing installed holds an absolute path of this machine's build, so a prefix can be moved.
if(NOT is_top)
    return()
endif()
if(GRADUS_PORTABLE) # one executable, nothing else
    install(TARGETS gradus_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    return()
endif()
install(FILES include/gradus.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/gradus DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS gradus_static gradus_shared EXPORT gradusTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET gradus_cli)
    install(TARGETS gradus_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET gradus_manual)
    install(FILES "${manual_folder}/gradus.1" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES "${manual_folder}/gradus.bash" DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
            RENAME gradus)
    install(FILES "${manual_folder}/gradus.zsh" DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _gradus)
    install(FILES "${manual_folder}/gradus.fish" DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

# What a program needs that links libgradus.a.
set(pc_private "-pthread")
foreach(folder ${gradus_private_folders})
    string(APPEND pc_private " -L${folder}")
endforeach()
foreach(library ${gradus_private_libraries})
    string(APPEND pc_private " -l${library}")
endforeach()
string(APPEND pc_private "${gradus_private_frameworks}")
file(RELATIVE_PATH pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/gradus.pc.in gradus.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/gradus.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/gradus)
configure_package_config_file(cmake/gradusConfig.cmake.in gradusConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(gradusConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT gradusTargets NAMESPACE gradus:: DESTINATION ${package_folder})
install(FILES "${PROJECT_BINARY_DIR}/gradusConfig.cmake" "${PROJECT_BINARY_DIR}/gradusConfigVersion.cmake"
        DESTINATION ${package_folder})
