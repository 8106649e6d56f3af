#!/usr/bin/env python3
"""Makes src/base/ggml/grids.c from the gguf package: the points that codes of ggml's iq1, iq2 and iq3 formats stand for.

    make_grids.py [--out src/base/ggml/grids.c]

The points were chosen by hand and search by those formats' author; nothing but a list can say which they are, so the lists
are part of the formats. A point is a number whose digits, 2 or 3 bits each, are its coordinates' places in a short list
of sizes: the first coordinate in the lowest bits.
"""
import argparse
import pathlib

import numpy
from gguf import quants

HEAD = '''/* Made by tools/oracle/make_grids.py of the gguf package's tables: the points that codes of the iq formats stand for. They
 * follow no rule, so that their lists are part of the formats. A point's coordinates are places in a list of sizes (what
 * reads it has that), the first in the lowest bits: eight of 2 bits, or four of 3. */
#include "base/ggml/grids.h"
'''
GRIDS = [("iq2_xxs", "IQ2_XXS"), ("iq2_xs", "IQ2_XS"), ("iq2_s", "IQ2_S"), ("iq3_xxs", "IQ3_XXS"), ("iq3_s", "IQ3_S"),
         ("iq1", "IQ1_S")]


def points(format):
    format.init_grid()
    grid = format.grid.reshape(format.grid_shape)
    bits = 2 if len(format.grid_map) <= 4 else 3
    places = numpy.searchsorted(numpy.array(format.grid_map, dtype=numpy.float32), grid).astype(int)
    return [sum(int(place) << bits * i for i, place in enumerate(point)) for point in places]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("src/base/ggml/grids.c"))
    text = HEAD
    for name, format in GRIDS:
        numbers = [f"{point:#x}" for point in points(getattr(quants, format))]
        text += f"\n/* clang-format off */\nconst uint16_t gr_grid_{name}[{len(numbers)}] = {{\n"
        for at in range(0, len(numbers), 16):
            text += "    " + ", ".join(numbers[at:at + 16]) + ",\n"
        text += "};\n/* clang-format on */\n"
    parser.parse_args().out.write_text(text)


main()
