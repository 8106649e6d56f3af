# One reading of every C file for tools/lint: room directions, forbidden calls, sizes. Prints "file:line: what is wrong"
# and, last, one line of numbers; the exit status says nothing, the caller counts lines.
#
# Relies on the layout that clang-format gives: a function's braces stand alone in column 0.

# The rooms in order; a file may include from its own and those before it. `rooms` is given by the caller.
BEGIN {
    count = split(rooms, list, " ")
    for (i = 1; i <= count; i++)
        order[list[i]] = i
    # Folders within a room, in order; files that lie beside them include any.
    count = split("text/unicode text/vocab text/stages text/files", list, " ")
    for (i = 1; i <= count; i++)
        stratum[list[i]] = i
    calls = "exit|_exit|_Exit|quick_exit|abort|assert|printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|getenv|secure_getenv"
    allocators = "malloc|calloc|realloc|free|strdup|strndup|asprintf|vasprintf|aligned_alloc|posix_memalign"
}

FNR == 1 { start_file() }

{
    lines[FILENAME]++
    if (match($0, /(^|[^A-Za-z0-9_])(TODO|FIXME|XXX)([^A-Za-z0-9_]|$)/))
        complain("a note to do something: do it or drop it")
    code = strip($0)
    if (saw_comment)
        comment_lines[room]++
    all_lines[room]++
}

/^#include "/ { check_include($2) }

room != "" && code !~ /^[ \t]*#/ { check_calls() }

/^\{/ { function_start = FNR }

/^\}/ && function_start {
    length_of = FNR - function_start + 2 # the braces, and one line of signature
    function_start = 0
    if (length_of > 100)
        complain("a function of " length_of " lines; 100 is the limit")
    if (room != "")
        histogram[length_of]++
}

END {
    for (file in lines) {
        # The public header is one file by design, and a third of it says what functions do.
        limit = file ~ /^src\/model\// ? 400 : file ~ /gradus.h$/ ? 1200 : 1000
        if (lines[file] > limit)
            print file ":" lines[file] ": a file of " lines[file] " lines; " limit " is the limit"
    }
    report_numbers()
}

function start_file()
{
    in_comment = 0
    function_start = 0
    room = ""
    if (FILENAME ~ /^src\//) {
        split(FILENAME, parts, "/")
        room = parts[2]
        folder = parts[2] "/" parts[3]
        if (!(room in order))
            complain("src/" room " is no room that tools/lint knows")
    }
}

function complain(what)
{
    print FILENAME ":" FNR ": " what
}

# The line without comments and with strings emptied; sets saw_comment.
function strip(s,    out, c, two, quote)
{
    out = ""
    saw_comment = in_comment
    quote = ""
    # Most lines have neither quotes nor comments.
    if (!in_comment && s !~ /["'\/]/)
        return s
    for (; s != ""; s = substr(s, 2)) {
        c = substr(s, 1, 1)
        two = substr(s, 1, 2)
        if (in_comment) {
            if (two == "*/") {
                in_comment = 0
                s = substr(s, 2)
            }
        } else if (quote != "") {
            if (c == "\\")
                s = substr(s, 2)
            else if (c == quote)
                quote = ""
        } else if (two == "/*") {
            in_comment = saw_comment = 1
            s = substr(s, 2)
        } else if (two == "//") {
            saw_comment = 1
            return out
        } else {
            if (c == "\"" || c == "'")
                quote = c
            out = out c
        }
    }
    return out
}

function check_include(path,    target)
{
    gsub(/"/, "", path)
    target = path
    sub(/\/.*/, "", target)
    if (FILENAME ~ /^examples\// && path != "gradus.h")
        complain("an example includes \"" path "\"; it may see gradus.h only")
    if (room == "" || path == "gradus.h")
        return
    if (index(path, "/") == 0)
        complain("\"" path "\" is not written from src/")
    else if (target in order && order[target] > order[room])
        complain("src/" room " includes \"" path "\", a room below it")
    else if (folder in stratum && target == room && stratum_of(path) > stratum[folder])
        complain("src/" folder " includes \"" path "\", which stands above it")
}

# The place of a path like "text/stages/bpe.h" in its room; past all folders for a file beside them.
function stratum_of(path)
{
    sub(/\/[^\/]*$/, "", path)
    return path in stratum ? stratum[path] : 1000
}

function check_calls()
{
    # The rooms' exceptions: cli prints and exits; base/log.c formats, base/env.c reads the environment; base/mem.c
    # allocates.
    if (room != "cli" && FILENAME !~ /^src\/base\/(log|env)\.c$/ && has_call(calls))
        complain("the library does not print, exit or read the environment: " called)
    if (FILENAME != "src/base/mem.c" && has_call(allocators))
        complain("memory comes from base/mem.h: " called)
}

function has_call(names)
{
    # Not a member (x->free, x.free) and not part of a longer name.
    if (!match(code, "(^|[^A-Za-z0-9_.>])(" names ")[ ]*\\("))
        return 0
    called = substr(code, RSTART, RLENGTH)
    gsub(/^[^A-Za-z0-9_]|[ (]+$/, "", called)
    return 1
}

function report_numbers(    n, total, seen, p50, p90, r, comments, sum)
{
    for (n = 1; n <= 2000; n++)
        total += histogram[n]
    for (n = 1; n <= 2000; n++) {
        seen += histogram[n]
        if (!p50 && seen >= total * 0.5)
            p50 = n
        if (!p90 && seen >= total * 0.9)
            p90 = n
    }
    for (r in order) {
        comments += comment_lines[r]
        sum += all_lines[r]
    }
    if (total && p90 > 45)
        print "src:0: one function in ten is longer than 45 lines (p90 is " p90 ")"
    printf "# %d functions, length p50 %d, p90 %d lines; %d lines in src, %d %% with comments\n", total, p50, p90, sum,
        sum ? 100 * comments / sum : 0
}
