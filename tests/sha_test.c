/* The two ways of SHA-256 beside each other: a machine that has instructions for it never takes the plain one. (What hashes
 * are: hub_test.) */
#include "base/sha.c"
#include "test.h"

TEST(instructions_and_plain_words_agree)
{
#if defined(__x86_64__)
    enum { MOST = 9 };
    uint8_t bytes[MOST * BLOCK];
    look();
    if (!is_fast)
        SKIP("no instructions for SHA here: the plain way is what hub_test tests");
    for (unsigned seed = 1; seed <= 500; seed++) {
        uint32_t plain[8], fast[8], word = seed * 2654435761u;
        for (size_t i = 0; i < sizeof bytes; i++, word = word * 1664525u + 1013904223u)
            bytes[i] = (uint8_t)(word >> 24);
        memcpy(plain, bytes, sizeof plain);
        memcpy(fast, plain, sizeof fast);
        sha256_plain(plain, bytes, seed % (MOST + 1));
        sha256_fast(fast, bytes, seed % (MOST + 1));
        CHECK(memcmp(plain, fast, sizeof plain) == 0);
    }
#else
    SKIP("there is only the plain way on this kind of machine");
#endif
}
