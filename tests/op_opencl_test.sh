#!/bin/sh
# labels: slow
# Every op on OpenCL, against ref: see op_test.c. In two halves side by side, for most of the time goes into compiling.
# Skipped where there is no OpenCL.
op_test="${GRADUS_BUILD:-build}/tests/op_test"
"$op_test" --on opencl 2/2 >op_opencl.log 2>&1 &
"$op_test" --on opencl 1/2
one=$?
wait $!
two=$?
cat op_opencl.log
rm -f op_opencl.log
[ $one = 0 ] && exit $two
exit $one
