#!/bin/sh
# Pages of docs/ that say how to add something, followed to the letter on one copy of the tree.
[ "$GRADUS_KIND" = plain ] || { echo "skipped: builds a copy of the tree"; exit 77; }
. "$GRADUS_SOURCE/tests/shell/follow.sh"
follow_open
follow docs/add-a-dtype.md
follow docs/add-an-op.md
follow docs/add-a-model.md
follow docs/add-a-backend.md
follow_run
