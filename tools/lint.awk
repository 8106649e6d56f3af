# One reading of every C file for tools/lint: room directions, circles, forbidden calls, sizes, dialect. Prints "file:line: what is wrong"
# and, last, one line of numbers; the exit status says nothing, the caller counts lines.
#
# Relies on the layout that clang-format gives: a function's braces stand alone in column 0.

# The rooms in order; a file may include from its own and those before it. `rooms` is given by the caller.
BEGIN {
    count = split(rooms, list, " ")
    for (i = 1; i <= count; i++)
        order[list[i]] = i
    # Folders within a room, in order; files that lie beside them include any.
    count = split("text/unicode text/vocab text/stages text/files text/train text/template " \
                  "model/layers model/arch model/files model/adapter", list, " ")
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

FNR == 1 && !/^\/\*/ { complain("no comment on top says what the file is for") }

/^#include "/ { check_include($2) }

# Headings of sections are as wide as one another; bytes behind the first of a character do not count.
/^\/\* ---/ {
    width = $0
    gsub(/[\200-\277]/, "", width)
    if (length(width) != 115 || !/^\/\* ---- [^ ].* ----+ \*\/$/)
        complain("a section's heading is /* ---- what it has ---- */, with dashes up to column 115")
}

# A whole number is an enum. What another header asks for (before its #include) and the version, which programs test with
# #if, are not.
constant && !/^#include/ { complain_at(FNR - 1, constant " is a #define; constants are enums") }
{ constant = FILENAME !~ /^include/ && /^#define [A-Z][A-Z_0-9]* \(?-?[0-9]+\)?$/ ? $2 : "" }

{ check_status() }

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
        limit = file ~ /^src\/model\// ? 400 : file ~ /^include\// ? 500 : 1000
        if (lines[file] > limit)
            print file ":" lines[file] ": a file of " lines[file] " lines; " limit " is the limit"
    }
    check_calls_of_status()
    check_circles()
    report_numbers()
}

function start_file()
{
    in_comment = 0
    function_start = 0
    constant = ""
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
    complain_at(FNR, what)
}

function complain_at(line, what)
{
    print FILENAME ":" line ": " what
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
    if (target == "gradus")
        complain("\"" path "\" is a part of gradus.h: include that")
    note_edge(FILENAME, "src/" path)
    if (index(path, "/") == 0)
        complain("\"" path "\" is not written from src/")
    else if (room == "cli" && target != "base" && target != "cli")
        complain("the command includes \"" path "\": it is made of gradus.h, base/ and cli/ alone")
    else if (target in order && order[target] > order[room])
        complain("src/" room " includes \"" path "\", a room below it")
    else if (target == "backend" && room != target && path ~ /\/.*\//)
        complain("src/" room " includes \"" path "\": a backend's own, others see backend/backend.h")
    else if (folder in stratum && target == room && stratum_of(path) > stratum[folder])
        complain("src/" folder " includes \"" path "\", which stands above it")
}

# The place of a path like "text/stages/bpe.h" in its room; past all folders for a file beside them.
function stratum_of(path)
{
    sub(/\/[^\/]*$/, "", path)
    return path in stratum ? stratum[path] : 1000
}

# ---- circles ----

# Which header includes which, and which folder.
function note_edge(from, to,    from_folder, to_folder)
{
    if (from ~ /\.h$/)
        edges[from] = edges[from] " " to
    from_folder = from_of[from] != "" ? from_of[from] : (from_of[from] = folder_of(from))
    to_folder = folder_of(to)
    if (from_folder != to_folder && !((from_folder, to_folder) in between)) {
        between[from_folder, to_folder] = 1
        edges[from_folder] = edges[from_folder] " " to_folder
    }
}

function folder_of(path)
{
    sub(/[^\/]*$/, "", path)
    return path
}

function check_circles(    node)
{
    for (node in edges)
        if (!(node in state))
            walk(node, node)
}

# state: 1 on the way here, 2 done.
function walk(node, way,    list, count, i)
{
    state[node] = 1
    count = split(edges[node], list, " ")
    for (i = 1; i <= count; i++) {
        if (!(list[i] in state) && (list[i] in edges))
            walk(list[i], way " " list[i])
        else if (state[list[i]] == 1)
            print node ":0: a circle of includes: " way " " list[i]
    }
    state[node] = 2
}

# ---- how a status is tested ----

# `s != GR_OK`, never `s` or `!s`: names that a function declares as gr_status, and functions that return one.
function check_status(    rest, name)
{
    if (code ~ /^[A-Za-z]/)
        delete statuses
    rest = code
    while (match(rest, /gr_status [a-z_0-9]+ ?[=;,)]/)) {
        name = substr(rest, RSTART + 10, RLENGTH - 10)
        gsub(/[^a-z_0-9]/, "", name)
        statuses[name] = 1
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (match(code, /^(GR_API )?(static )?(inline )?gr_status [a-z_0-9]+\(/)) {
        name = code
        sub(/.*gr_status /, "", name)
        sub(/\(.*/, "", name)
        gives_status[code ~ /^static/ ? FILENAME " " name : name] = 1
    } else if (match(code, /^static [^=]*\(/)) {
        name = substr(code, 1, RLENGTH - 1)
        sub(/.*[ *]/, "", name)
        own_name[FILENAME " " name] = 1
    }
    if (code !~ /^[ \t]/)
        return
    for (name in statuses)
        if (code ~ "!" name "([^A-Za-z0-9_.([-]|$)" || code ~ "(if|while) \\(" name "( (&&|\\|\\|)|\\))" ||
            code ~ "(&&|\\|\\|) " name "( (&&|\\|\\|)|\\)|;)" || code ~ "([^=!<>]= |return |\\()" name " \\?")
            complain("a status is compared: " name " != GR_OK or " name " == GR_OK")
    note_tested_calls(code)
}

# Calls that stand where a truth is wanted, and end on their line: at the end it is known what they return.
function note_tested_calls(rest,    name, at, depth, c)
{
    while (match(rest, /(if \(|while \(|&& |\|\| |!)[a-z_0-9]+\(/)) {
        name = substr(rest, RSTART, RLENGTH - 1)
        rest = substr(rest, RSTART + RLENGTH)
        sub(/.*[^a-z_0-9]/, "", name)
        depth = 1
        for (at = 1; depth > 0 && at <= length(rest); at++) {
            c = substr(rest, at, 1)
            depth += (c == "(") - (c == ")")
        }
        if (depth == 0 && substr(rest, at) !~ /^ [!=]=/)
            tested[++n_tested] = FILENAME ":" FNR " " name
    }
}

function check_calls_of_status(    i, part, file)
{
    for (i = 1; i <= n_tested; i++) {
        split(tested[i], part, " ")
        file = part[1]
        sub(/:.*/, "", file)
        if (((file " " part[2]) in gives_status) || (part[2] in gives_status && !((file " " part[2]) in own_name)))
            print part[1] ": a status is compared: " part[2] "(...) != GR_OK or == GR_OK"
    }
}

# ---- calls ----

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
