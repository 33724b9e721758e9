#!/bin/sh
# Fails where the feature `mpi` cannot be built or run, and says what is missing: an MPI library with
# its compiler wrapper, its launcher, and libclang, which reads its header.
set -u

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    command -v llvm-config >/dev/null 2>&1 &&
        [ -n "$(find "$(llvm-config --libdir)" -name 'libclang*.so*' 2>/dev/null)" ] && return 0
    [ -n "$(find -L /usr/lib /usr/lib64 /usr/local/lib -maxdepth 3 \
        -name 'libclang*.so*' ! -name 'libclang-cpp*' 2>/dev/null)" ]
}

lacks=""
command -v "${MPICC:-mpicc}" >/dev/null 2>&1 || lacks="$lacks mpicc"
command -v mpirun >/dev/null 2>&1 || lacks="$lacks mpirun"
has_libclang || lacks="$lacks libclang"
[ -z "$lacks" ] || {
    echo "missing:$lacks; on Debian and Ubuntu: apt install libopenmpi-dev openmpi-bin libclang-dev"
    exit 1
}
