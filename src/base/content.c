/* Beginnings that no text has. */
#include "base/content.h"

#include "base/file.h"

#include <string.h>

typedef struct content {
    const char *what, *hint;
} content;

static const char unpack[] = "unpack it first";
static const char no_model[] = "give text; a model is named as MODEL";
static const char to_text[] = "write its text to a .txt or .jsonl file first";

/* Beginnings that no text has. */
static const struct {
    uint16_t at, length;
    const char *bytes;
    content is;
} magics[] = {
    {0, 2, "\x1F\x8B", {"compressed by gzip", "unpack it first: gzip -d"}},
    {0, 4, "\x28\xB5\x2F\xFD", {"compressed by zstd", "unpack it first: zstd -d"}},
    {1, 5, "7zXZ\0", {"compressed by xz", "unpack it first: xz -d"}},
    {4, 6, "1AY&SY", {"compressed by bzip2", "unpack it first: bzip2 -d"}},
    {0, 4, "\x04\x22\x4D\x18", {"compressed by lz4", "unpack it first: lz4 -d"}},
    {0, 4, "PK\3\4", {"a zip archive (.zip, .docx, .npz, .pt)", unpack}},
    {0, 4, "PK\5\6", {"an empty zip archive", unpack}},
    {0, 6, "7z\xBC\xAF\x27\x1C", {"a 7z archive", unpack}},
    {0, 6, "Rar!\x1A\7", {"a rar archive", unpack}},
    {257, 5, "ustar", {"a tar archive", unpack}},
    {0, 6, "\x93NUMPY", {"a NumPy array", to_text}},
    {0, 5, "PAR1\x15", {"a Parquet file", to_text}},
    {0, 8, "ARROW1\0\0", {"an Arrow file", to_text}},
    {0, 8, "\x89HDF\r\n\x1A\n", {"an HDF5 file", to_text}},
    {0, 16, "SQLite format 3\0", {"an SQLite database", to_text}},
    {1, 3, "ELF", {"a program", to_text}},
    {0, 5, "%PDF-", {"a PDF", "write its text to a file first: pdftotext"}},
    {0, 8, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", {"an old Office document", to_text}},
    {0, 8, "\x89PNG\r\n\x1A\n", {"a PNG picture", to_text}},
    {0, 3, "\xFF\xD8\xFF", {"a JPEG picture", to_text}},
    {0, 2, "\x80\2", {"a Python pickle", to_text}},
    {0, 2, "\x80\3", {"a Python pickle", to_text}},
    {0, 2, "\x80\4", {"a Python pickle", to_text}},
    {0, 2, "\x80\5", {"a Python pickle", to_text}},
    {0, 5, "OggS\0", {"a sound file", to_text}},
    {0, 5, "fLaC\0", {"a sound file", to_text}},
    {0, 4, "\xFF\xFE\0\0", {"UTF-32", "convert it first: iconv -f UTF-32 -t UTF-8"}},
    {0, 4, "\0\0\xFE\xFF", {"UTF-32", "convert it first: iconv -f UTF-32 -t UTF-8"}},
    {0, 2, "\xFF\xFE", {"UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"}},
    {0, 2, "\xFE\xFF", {"UTF-16", "convert it first: iconv -f UTF-16 -t UTF-8"}},
};

static bool has(const unsigned char *text, size_t size, size_t at, const char *bytes, size_t length)
{
    return size >= at + length && memcmp(text + at, bytes, length) == 0;
}

/* Eight bytes of a length, then JSON; "GGUF" and a small number. */
static content weights_of(const unsigned char *t, size_t size)
{
    uint64_t header = 0;
    for (size_t i = 0; i < 8 && i < size; i++)
        header |= (uint64_t)t[i] << 8 * i;
    if (has(t, size, 8, "{\"", 2) && header < 1 << 30)
        return (content){"a safetensors file", no_model};
    if (has(t, size, 0, "GGUF", 4) && size >= 8 && t[4] < 16 && t[5] == 0 && t[6] == 0 && t[7] == 0)
        return (content){"a GGUF file", no_model};
    bool gif = has(t, size, 0, "GIF89a", 6) || has(t, size, 0, "GIF87a", 6);
    bool riff = has(t, size, 0, "RIFF", 4) && (has(t, size, 8, "WAVE", 4) || has(t, size, 8, "WEBP", 4));
    if ((gif && memchr(t, 0, size)) || riff || (has(t, size, 4, "ftyp", 4) && t[0] == 0))
        return (content){"a picture, a sound or a film", to_text};
    return (content){0};
}

/* UTF-16 without its mark: of text in Latin letters every other byte is 0. */
static content wide_of(const unsigned char *t, size_t size)
{
    enum { LOOK = 4096, LEAST = 8 };
    size_t pairs = (size < LOOK ? size : LOOK) / 2, zeros[2] = {0};
    for (size_t i = 0; i < 2 * pairs; i++)
        zeros[i % 2] += t[i] == 0;
    bool one_side = (zeros[0] == 0) != (zeros[1] == 0);
    if (pairs < LEAST || !one_side || zeros[0] + zeros[1] < pairs * 7 / 10)
        return (content){0};
    return zeros[1] ? (content){"UTF-16", "convert it first: iconv -f UTF-16LE -t UTF-8"}
                    : (content){"UTF-16", "convert it first: iconv -f UTF-16BE -t UTF-8"};
}

gr_status gr_refuse_content(const char *name, const void *text, size_t size)
{
    const unsigned char *t = text;
    content is = {0};
    if (gr_refuse_pointer(name, text, size) != GR_OK)
        return gr_error_status();
    for (size_t i = 0; !is.what && i < sizeof magics / sizeof *magics; i++)
        if (has(t, size, magics[i].at, magics[i].bytes, magics[i].length))
            is = magics[i].is;
    if (!is.what)
        is = weights_of(t, size);
    if (!is.what)
        is = wide_of(t, size);
    return is.what ? gr_fail(GR_ERR_FILE, "%.400s: is no text, but %s\n%s", name, is.what, is.hint) : GR_OK;
}

size_t gr_byte_order_mark(const char *text, size_t size)
{
    return size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}
