# shellcheck shell=bash
# Shared by the matrix scripts; sourced, never run.
. "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"

MATRIX=$ROOT/build/matrix              # programs, images and results; safe to delete
MATRIX_RUN=/run/decnet/matrix          # sockets and pids of the engines (a socket's path must be short)
ENGINES=(20.10 26.1 29)
COMPOSES=(2.26 5.2 5.5)

say() { printf 'matrix: %s\n' "$*" >&2; }
fail() { printf 'matrix: error: %s\n' "$*" >&2; exit 1; }
