# Files of GPU kernels become one C source, as bytes: nothing in them needs escaping.
#
#   cmake -DOUT=file.c -DFILES="a.k;b.k" -P kernels.cmake
set(texts "")
set(list "")
foreach(file ${FILES})
    get_filename_component(name "${file}" NAME_WE)
    file(READ "${file}" bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(APPEND texts "static const char ${name}[] = {${bytes}0};\n")
    string(APPEND list "    {\"${name}\", ${name}},\n")
endforeach()
file(WRITE "${OUT}" "/* Made by cmake/kernels.cmake. */\n${texts}
extern const struct gr_gpu_file {
    const char *name, *text;
} gr_gpu_files[];
const struct gr_gpu_file gr_gpu_files[] = {
${list}    {0, 0},
};
")
