# The manual page and the shell completions are printed by the command itself, from its table of verbs and flags, so they
# cannot say anything else than the command does. A command built for another machine needs an emulator for that.
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    return()
endif()
set(manual_folder "${PROJECT_BINARY_DIR}/share")
file(MAKE_DIRECTORY "${manual_folder}")
add_custom_command(
    OUTPUT "${manual_folder}/gradus.1" "${manual_folder}/gradus.bash" "${manual_folder}/gradus.zsh"
           "${manual_folder}/gradus.fish"
    COMMAND gradus_cli __man >"${manual_folder}/gradus.1"
    COMMAND gradus_cli __completion bash >"${manual_folder}/gradus.bash"
    COMMAND gradus_cli __completion zsh >"${manual_folder}/gradus.zsh"
    COMMAND gradus_cli __completion fish >"${manual_folder}/gradus.fish"
    DEPENDS gradus_cli
    COMMENT "Manual page and completions")
add_custom_target(gradus_manual ALL DEPENDS "${manual_folder}/gradus.1")
