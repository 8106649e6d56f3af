#!/bin/sh
# labels: slow
# Every op on OpenCL, against ref: see op_test.c. Skipped where there is none.
exec "${GRADUS_BUILD:-build}/tests/op_test" --on opencl "$@"
